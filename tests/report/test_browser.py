"""What people see, in a real browser without any network: the plots of `dvc plots show` and the
report.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers import results as made_up
from helpers.browser import Seen, chromium, framed, measured, see
from helpers.paths import ROOT
from minnow.errors import MinnowError
from minnow.evaluation.records import ExtraResult, Hops
from minnow.layout import Layout
from minnow.report import page, verdicts
from minnow.tools import plots_template

LONG = "paypa1-" + "x" * 300 + ".example.com/" + "y" * 3000
WORDS = "https://a.b/ " * 40 + "\u202e"


def pipeline_plots() -> list[dict[str, Any]]:
    """Return the plots of dvc.yaml: the overlaid ones, and those that belong to a stage."""
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    of_stages = [plot for stage in pipeline["stages"].values() for plot in stage.get("plots", [])]
    for plot in of_stages:
        for properties in plot.values():
            properties.pop("cache", None)
    return [*pipeline["plots"], *of_stages]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with nothing but made-up results, the plots of dvc.yaml and their templates."""
    root = tmp_path_factory.mktemp("plots")
    shutil.copytree(
        ROOT / ".dvc" / "plots", root / ".dvc" / "plots", ignore=shutil.ignore_patterns("*.html")
    )
    (root / ".dvc" / "config").write_text((ROOT / ".dvc" / "config").read_text())
    (root / "dvc.yaml").write_text(yaml.safe_dump({"plots": pipeline_plots()}, sort_keys=False))
    made_up.write_plots(Layout(root), made_up.plots())
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    return root


def plots_show(root: Path) -> Path:
    command = [sys.executable, "-m", "dvc", "plots", "show"]
    environment = {**os.environ, "DVC_NO_ANALYTICS": "true"}
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return root / "dvc_plots" / "index.html"


class Plots(HTMLParser):
    """How many marks each plot of DVC's page shows, and the texts beside them, by the id of its
    place.
    """

    def __init__(self, dom: str) -> None:
        super().__init__()
        self.marks: dict[str, int] = {}
        self.texts: dict[str, list[str]] = {}
        self.place = ""
        self.depth, self.inside = 0, 0  # of groups; of the group of marks that we are in
        self.feed(dom)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "div" and attributes.get("id"):
            self.place = attributes["id"] or ""
            self.marks[self.place], self.texts[self.place] = 0, []
        if tag == "g":
            self.depth += 1
            if "role-mark" in (attributes.get("class") or "") and not self.inside:
                self.inside = self.depth
        elif self.inside and tag in ("path", "line", "text", "rect") and attributes.get("d") != "":
            self.marks[self.place] += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "g":
            self.inside = 0 if self.inside == self.depth else self.inside
            self.depth -= 1

    def handle_data(self, data: str) -> None:
        if self.place and data.strip():
            self.texts[self.place].append(data.strip())


def titles() -> list[str]:
    """Return what stands above each plot of dvc.yaml."""
    return [
        properties.get("title", name)
        for plot in pipeline_plots()
        for name, properties in plot.items()
    ]


def test_without_its_page_dvc_draws_nothing_offline(project: Path, tmp_path: Path) -> None:
    """The network is cut indeed: what DVC makes by itself loads Vega from elsewhere."""
    (project / ".dvc" / "config.local").unlink(missing_ok=True)
    seen = see(plots_show(project), tmp_path / "profile")
    assert not any(Plots(seen.dom).marks.values())
    assert any("vegaEmbed is not defined" in line for line in seen.console)


def test_every_plot_of_dvc_plots_show_is_drawn_without_a_network(
    project: Path, tmp_path: Path
) -> None:
    plots_template.main(project)
    seen = see(plots_show(project), tmp_path / "profile")
    assert seen.console == []
    found = Plots(seen.dom)
    assert len(found.marks) == len(titles())
    assert {place: marks for place, marks in found.marks.items() if marks < 1} == {}
    for title in titles():
        assert sum(title in texts for texts in found.texts.values()) == 1, title
    shown = {text for texts in found.texts.values() for text in texts}
    assert {
        "baseline",
        "teacher",
        "student",
        "quantized",
        "teacher → student",
        "embeddings",
        "1,194",
    } <= shown
    assert "path: with path" in shown


def test_two_revisions_are_drawn_side_by_side(project: Path, tmp_path: Path) -> None:
    plots_template.main(project)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run([*git, "add", "--all"], cwd=project, check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "one"], cwd=project, check=True)
    command = [sys.executable, "-m", "dvc", "plots", "diff", "HEAD", "workspace"]
    subprocess.run(command, cwd=project, check=True, capture_output=True, timeout=300)
    seen = see(project / "dvc_plots" / "index.html", tmp_path / "profile")
    assert seen.console == []
    found = Plots(seen.dom)
    assert all(found.marks.values())
    assert all({"HEAD", "workspace"} <= set(texts) for texts in found.texts.values())


def test_the_plots_page_is_git_ignored_and_so_is_the_setting() -> None:
    for name in (".dvc/plots/page.html", ".dvc/config.local"):
        assert subprocess.run(["git", "check-ignore", "--quiet", name], cwd=ROOT).returncode == 0, (
            name
        )


def test_templates_use_the_placeholders_that_dvc_fills() -> None:
    from dvc_render.vega import OPTIONAL_ANCHORS

    known = {
        f"<DVC_METRIC_{name.upper()}>"
        for name in (*OPTIONAL_ANCHORS, "title", "x", "y", "x_label", "y_label", "data")
    }
    used = {properties.get("template") for plot in pipeline_plots() for properties in plot.values()}
    files = {file.stem: file for file in (ROOT / ".dvc" / "plots").glob("*.json")}
    assert set(files) <= used
    for file in files.values():
        text = file.read_text()
        assert json.loads(text)["data"] == {"values": "<DVC_METRIC_DATA>"}
        assert set(re.findall(r"<DVC_\w+>", text)) <= known


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MinnowError, match=r"is no git repository.*git init"):
        plots_template.main(tmp_path)


def test_code_that_would_break_the_page_is_refused() -> None:
    for code in ("x = '</script>'", "x = '{plot_divs}'", "x = '{scripts}'"):
        with pytest.raises(MinnowError, match="does not fit into a page"):
            plots_template.page_with(code)
    html = plots_template.page_with("const x = {};")
    assert "const x = {};" in html
    assert html.count("{plot_divs}") == 1
    assert not re.search(r"https?:", html)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything that could be too wide for a phone."""
    slices = made_up.slices()
    slices["slices"][0]["value"] = LONG
    control = {
        "facts": {"a_very_long_name_" * 5: "x" * 300},
        "against_pipeline": {},
        "rows": 100,
        "sample": made_up.sample(50, 50),
        "models": dict.fromkeys(("no_teacher", "student"), made_up.main_estimates(0.9)),
        "hops": [made_up.hop("no_teacher", "student", 0.001, 0.01)],
    }
    found = made_up.findings(
        slices=slices,
        extra={"n" * 200: made_up.extra()["next_year"]},
        controls={"no_teacher": control},
        missed=made_up.mistakes([LONG, WORDS, "<img src=x onerror=alert(1)>"]),
        params={"data": {"x" * 100: LONG, "path": "data/raw/" + "f" * 200}},
        preset="p" * 100,
    )
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(page.render(found), encoding="utf-8")
    return file


def framed_at(report: Path, width: int, folder: Path, *options: str) -> tuple[dict[str, str], Seen]:
    seen = see(
        framed(report, width, folder),
        folder / "profile",
        f"--window-size={max(width, 600)},900",
        *options,
    )
    return measured(seen), seen


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_the_report_fits_its_window(report: Path, width: int, tmp_path: Path) -> None:
    found, seen = framed_at(report, width, tmp_path)
    assert seen.console == []
    assert found["inner"] == str(width)
    assert found["scroll"] == str(width)
    assert found["wide"] == ""
    assert found["drawings"] == "16"


def test_the_report_is_light_or_dark_as_the_reader_wishes(report: Path, tmp_path: Path) -> None:
    light, _ = framed_at(report, 1280, tmp_path, "--blink-settings=preferredColorScheme=1")
    dark, _ = framed_at(report, 1280, tmp_path, "--blink-settings=preferredColorScheme=0")
    brightness = {
        name: [sum(map(int, re.findall(r"\d+", found[name]))) for found in (light, dark)]
        for name in ("paper", "ink", "label")
    }
    assert brightness["paper"][0] > 600 > 150 > brightness["paper"][1]
    assert brightness["ink"][0] < brightness["ink"][1]
    assert brightness["label"][0] < brightness["label"][1]  # charts follow


def test_the_report_prints(report: Path, tmp_path: Path) -> None:
    """The outline, which is not compressed, holds the headings, without the blanks at which lines
    break.
    """
    paper = tmp_path / "report.pdf"
    see_pdf = [
        chromium(),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    see_pdf += [
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--proxy-server=127.0.0.1:9",
        "--no-pdf-header-footer",
    ]
    see_pdf += ["--generate-pdf-document-outline"]
    subprocess.run(
        [*see_pdf, f"--print-to-pdf={paper}", report.as_uri()],
        check=True,
        capture_output=True,
        timeout=300,
    )
    printed = paper.read_bytes()
    assert printed.startswith(b"%PDF")
    assert 5 <= len(re.findall(rb"/Type /Page\b(?!s)", printed)) <= 30
    titles = re.findall(rb"/Title (?:<FEFF([0-9A-F]+)>|\(([^)]*)\))", printed)
    headings = [
        bytes.fromhex(wide.decode()).decode("utf-16-be") if wide else flat.decode()
        for wide, flat in titles
    ]
    extra = {"n" * 200: made_up.record(ExtraResult, made_up.extra()["next_year"])}
    verdict = verdicts.sentence(made_up.record(Hops, made_up.hops()), extra)
    assert verdict.replace(" ", "") in [heading.replace(" ", "") for heading in headings]
    assert {"The models", "What each hop cost", "Whom it hurts", "The hardest errors"} <= set(
        headings
    )
