"""package: the folder that ships: the quantized model, the same exported and as a page for a
browser, how to call them, and a model card that says what they are worth.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.core.exports import SHIPPED, is_exported
from minnow.core.files import check_manifest, read_json, replacing, write_json, write_manifest
from minnow.core.params import StageParams
from minnow.errors import MinnowError
from minnow.layout import EXPORTED, Layout

if TYPE_CHECKING:
    from minnow.serve.settings import Settings

PAGE = "page.html"


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
        calibrations=results.evidence.calibration.models,
        move_scheme=results.data.move_scheme,
        synthetic=results.data.source == "synthetic",
    )
    text = card(results, provenance.origin_of(layout), called)
    with replacing(layout.release) as out:
        copy_files(model, manifest["files"], out)
        if is_exported(layout):
            check_manifest(layout.model(EXPORTED))
            copy_files(layout.model(EXPORTED), SHIPPED, out)
        write_page(out, model, called.of_onnx(), covered=is_exported(layout))
        write_json(out / settings.FILE, called.as_json())
        (out / settings.CARD).write_text(text, encoding="utf-8")
        write_manifest(out, {name: manifest[name] for name in ("parameters", "formats")})


def write_page(out: Path, model: Path, called: "Settings", *, covered: bool) -> None:
    """Write a quantized model as a page for a browser; where there can be none, say why.

    Raises:
        MinnowError: the model's parts cannot be read, and `covered` says that `export` could.
    """
    from minnow.export.classifiers import encoder_of
    from minnow.export.packed import read_packed
    from minnow.export.page.building import PageFacts, build_page
    from minnow.serve.tokens import TOKENIZER, read_tokenizer, unknown_id

    tokenizer = read_tokenizer(out, called.max_length)
    facts = PageFacts(
        name="Phishing URLs",
        labels=called.labels,
        max_length=called.max_length,
        move_scheme=called.move_scheme,
        temperature=called.temperature,
        threshold=called.threshold,
        synthetic=called.synthetic,
        nothing=tokenizer.id_to_token(unknown_id(tokenizer)),
    )
    try:
        text = (out / TOKENIZER).read_text(encoding="utf-8")
        page, why = build_page(encoder_of(read_packed(model)), text, facts)
    except MinnowError as error:
        if covered:
            raise
        # An architecture that export does not know.
        page, why = None, f"there is no {PAGE} for this model: {error}"
    if page is None:
        print(f"minnow: {why}")
    else:
        (out / PAGE).write_text(page, encoding="utf-8")


def copy_files(folder: Path, names: Iterable[str], out: Path) -> None:
    """Copy files of a folder into the folder `out`."""
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, out / name)
