"""package: the folder that ships: the quantized model, how to call it, and a model card that says
what it is worth.
"""

import shutil
from pathlib import Path

from minnow.core.files import check_manifest, read_json, replacing, write_json, write_manifest
from minnow.core.params import StageParams
from minnow.layout import Layout


class Params(StageParams):
    """What `package` reads of params.yaml: nothing; manifests say how the models were made."""


def main(root: Path) -> None:
    """Write the release's folder."""
    Params.load(root)
    layout = Layout(root)
    from minnow.release import provenance
    from minnow.release.card import card, read_results
    from minnow.serve import settings

    model = layout.model("quantized")
    check_manifest(model)
    manifest, results = read_json(layout.manifest("quantized")), read_results(layout)
    called = provenance.settings_of(
        model,
        calibration=results.evidence.calibration.models["quantized"],
        move_scheme=results.data.move_scheme,
        synthetic=results.data.source == "synthetic",
    )
    text = card(results, provenance.origin_of(layout), called)
    with replacing(layout.release) as out:
        for name in manifest["files"]:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(model / name, out / name)
        write_json(out / settings.FILE, called.as_json())
        (out / settings.CARD).write_text(text, encoding="utf-8")
        write_manifest(out, {name: manifest[name] for name in ("parameters", "formats")})
