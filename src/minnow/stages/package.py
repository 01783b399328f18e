"""package: the folder that ships: the quantized model, how to call it, and a model card that says
what it is worth.
"""

import shutil
from pathlib import Path
from typing import Annotated

from minnow.core.files import check_manifest, read_json, replacing, write_json, write_manifest
from minnow.core.params import StageParams
from minnow.data.params import DataParams
from minnow.distill.params import DistillParams
from minnow.layout import Layout
from minnow.release.card import evidence_of
from minnow.release.provenance import origin
from minnow.student.params import StudentParams


class Params(StageParams):
    """What `package` reads of params.yaml: how the texts are cleaned, and how the student was made."""

    data: Annotated[DataParams, "presets.*.data"]
    student: Annotated[StudentParams, "presets.*.student"]
    distill: Annotated[DistillParams, "distill"]


def main(root: Path) -> None:
    """Write the release's folder."""
    params, layout = Params.load(root), Layout(root)
    from minnow.release import provenance
    from minnow.release.card import card
    from minnow.serve import settings

    model = layout.model("quantized")
    check_manifest(model)
    manifest, evidence = read_json(layout.manifest("quantized")), evidence_of(layout)
    called = provenance.of_model(
        model,
        calibration=evidence.calibration["models"]["quantized"],
        move_scheme=params.data.move_scheme,
        synthetic=evidence.prepare["source"] == "synthetic",
    )
    text = card(evidence, origin(params, layout), called)
    with replacing(layout.release) as out:
        for name in manifest["files"]:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(model / name, out / name)
        write_json(out / settings.FILE, called.as_json())
        (out / settings.CARD).write_text(text, encoding="utf-8")
        write_manifest(out, {name: manifest[name] for name in ("parameters", "formats")})
