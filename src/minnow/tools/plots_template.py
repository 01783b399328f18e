"""plots_template: what `dvc plots show` draws with: the report's charts, without a network.

The templates in .dvc/plots are made of those charts and belong to git. DVC's own page loads Vega
from elsewhere. Here a page with Vega inside takes its place, made of the copy that vl-convert
brings along: other people's code, so it stays out of git, and so does the line in .dvc/config.local
that names it. A checkout without that line draws as DVC does by itself; were it in .dvc/config, DVC
would fail until there is a page.
"""

import json
import subprocess
import sys
from pathlib import Path

from minnow.core.files import replacing
from minnow.errors import MinnowError, reason
from minnow.tools.repository import require_git

# DVC looks for templates in this folder, and takes the setting as relative to .dvc.
FOLDER, TEMPLATES, SETTING = ".dvc", "plots", "plots/page.html"
PAGE = """<!doctype html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
{refresh_tag}
<title>Minnow: plots</title>
<style>
  body {{ margin: 0 auto; max-width: 80rem; padding: 2rem 1rem; background: #fff; color: #1b2025; }}
  main {{ display: flex; flex-wrap: wrap; gap: 2.5rem; align-items: start; }}
  main > div {{ max-width: 100%; overflow-x: auto; }}
</style>
<script>
(function () {{
{vega}
}})();
(function (embed) {{
  // As SVG, and without the link that hands the data to an editor on the web.
  const options = {{ renderer: "svg", actions: {{ editor: false }} }};
  window.vegaEmbed = (place, plot) => embed(place, plot, options);
}})(window.vegaEmbed);
</script>
</head>
<body>
<main>
{plot_divs}
</main>
</body>
</html>
"""
# What DVC fills in.
KEPT = {"refresh_tag": "{refresh_tag}", "plot_divs": "{plot_divs}"}


def main(root: Path) -> None:
    """Write the templates and the page, and tell DVC of the page.

    Raises:
        MinnowError: the folder is no DVC repository, or DVC cannot write its configuration.
    """
    require_git(root)
    folder = root / FOLDER
    if not folder.is_dir():
        raise MinnowError(
            f"{root} has no {FOLDER} folder, so DVC does not work there; clone the project with git"
        )
    for name, text in template_texts().items():
        with replacing(folder / TEMPLATES / f"{name}.json") as temporary:
            temporary.write_text(text, encoding="utf-8")
    page, text = folder / SETTING, page_with(vega())
    command = [sys.executable, "-m", "dvc", "config", "--local", "plots.html_template", SETTING]
    try:
        subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise MinnowError(
            f"`dvc config --local plots.html_template` failed: {reason(RuntimeError(error.stderr))}"
        ) from None
    # Last: a page that lies there tells `make install` that all of this is done.
    with replacing(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"`dvc plots show` draws with {page.relative_to(root)}, without a network")


def template_texts() -> dict[str, str]:
    """Return the text of each template by its name."""
    from minnow.report import dvc_templates

    return {
        name: json.dumps(template, indent=2, ensure_ascii=False) + "\n"
        for name, template in dvc_templates.templates().items()
    }


def vega() -> str:
    """Return the code of Vega, Vega-Lite and Vega-Embed, which defines `window.vegaEmbed`."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle


def page_with(code: str) -> str:
    """Return DVC's page with the code inside, its placeholders still open.

    Raises:
        MinnowError: the code holds what would end its element, or what DVC would fill in.
    """
    if "</script" in code.lower() or any(mark in code for mark in (*KEPT.values(), "{scripts}")):
        raise MinnowError(
            "this version of vl-convert brings code that does not fit into a page; install the"
            " pinned one"
        )
    return PAGE.format(vega=code, **KEPT)
