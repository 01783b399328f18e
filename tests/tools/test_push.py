"""Uploading a release: what goes where, what is refused, and what each answer of the Hub is called.
Nothing leaves.
"""

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import ModelInfo, errors

from helpers.release import SETTINGS
from helpers.stage import complaint, entry_point, tree
from minnow.core.files import write_json, write_manifest
from minnow.errors import MinnowError
from minnow.layout import Layout
from minnow.serve import settings
from minnow.tools import push_to_hub

REPO = "me/phishing-urls"
ADDRESS = f"https://huggingface.co/{REPO}"
FILES = ["README.md", "config.json", "manifest.json", "minnow.json", "model.safetensors"]
Calls = list[tuple[str, dict[str, Any]]]


def released(root: Path, *, synthetic: bool = False) -> Path:
    """Write a release whose weights are a few bytes."""
    folder = Layout(root).release
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights" * 100)
    (folder / "config.json").write_text("{}\n")
    (folder / "README.md").write_text("---\n---\n")
    write_json(folder / settings.FILE, replace(SETTINGS, synthetic=synthetic).as_json())
    write_manifest(folder, {"parameters": 1})
    return root


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return released(tmp_path)


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_not_a_token")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail as soon as anything opens a socket or asks for an address."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, token: None) -> Calls:
    """Record what HfApi is asked to do instead of doing it."""
    made: Calls = []

    def create_repo(self: Any, repo_id: str, **options: Any) -> str:
        made.append(("create_repo", {"repo_id": repo_id, **options}))
        return ADDRESS

    def model_info(self: Any, repo_id: str) -> ModelInfo:
        return ModelInfo(id=repo_id)  # as of a repository that was made just now

    def upload_folder(self: Any, **options: Any) -> None:
        made.append(("upload_folder", options))

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", create_repo)
    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", upload_folder)
    return made


# --- What is sent ---------------------------------------------------------------------------------


def test_the_release_goes_up_in_one_commit(
    project: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    push_to_hub.main(project, REPO)
    (first, created), (second, sent) = calls
    assert (first, second) == ("create_repo", "upload_folder")
    assert created == {"repo_id": REPO, "private": True, "exist_ok": True}
    assert (sent["repo_id"], sent["folder_path"]) == (REPO, Layout(project).release)
    assert sent["allow_patterns"] == FILES
    assert sent["delete_patterns"] == ["*.safetensors", "*.safetensors.index.json"]
    said = capsys.readouterr().out
    assert (
        f"uploaded 5 files, 0.0 MB to {ADDRESS}; its model card names no licence: choose one, write"
        " it into" in said
    )
    assert "models/release/README.md (`license: ...`), and upload again" in said


def give_licence(project: Path) -> None:
    (Layout(project).release / "README.md").write_text("---\nlicense: mit\n---\n")


def test_a_licence_in_the_card_is_no_damage(
    project: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    give_licence(project)
    push_to_hub.main(project, REPO)
    assert "README.md" in calls[1][1]["allow_patterns"]
    assert capsys.readouterr().out.endswith(f"to {ADDRESS}; its model card names the licence mit\n")


def test_a_licence_on_the_hub_is_not_replaced_by_none(
    project: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "huggingface_hub.HfApi.model_info",
        lambda self, repo: ModelInfo(id=repo, cardData={"license": "apache-2.0"}),
    )
    with pytest.raises(
        MinnowError, match=r"nothing was sent: .* names the licence apache-2\.0"
    ) as refusal:
        push_to_hub.main(project, REPO)
    assert "\n" not in str(refusal.value)
    assert "models/release/README.md (`license: ...`)" in str(refusal.value)
    assert [name for name, _ in calls] == ["create_repo"]
    give_licence(project)
    push_to_hub.main(project, REPO)
    assert calls[-1][0] == "upload_folder"


def test_a_card_on_the_hub_without_licence_is_replaced(
    project: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "huggingface_hub.HfApi.model_info",
        lambda self, repo: ModelInfo(id=repo, cardData={"language": "zxx"}),
    )
    push_to_hub.main(project, REPO)
    assert calls[-1][0] == "upload_folder"


def test_it_is_public_only_if_asked(project: Path, calls: Calls) -> None:
    push_to_hub.main(project, REPO, "public")
    assert calls[0][1]["private"] is False


def test_files_beside_the_release_stay_here(project: Path, calls: Calls) -> None:
    (Layout(project).release / "notes.txt").write_text("mine")
    push_to_hub.main(project, REPO)
    assert calls[1][1]["allow_patterns"] == FILES


def test_a_dry_run_lists_the_files_and_touches_no_network(
    project: Path, offline: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a token, too."""
    before = tree(project)
    push_to_hub.main(project, REPO, "dry-run")
    *listed, last = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in listed] == FILES
    assert "          700 model.safetensors" in listed
    assert (
        last
        == f"dry run, nothing was sent: 5 files, 0.0 MB would go to {REPO} (private if it is made"
        " now); a README.md there would be replaced"
    )
    assert tree(project) == before
    push_to_hub.main(project, REPO, "public", "dry-run")
    assert "(public if it is made now)" in capsys.readouterr().out


# --- What is refused before anything is sent ------------------------------------------------------


@pytest.mark.parametrize(
    ("repo", "said"),
    [
        ("", "no repository named; give owner/name"),
        ("phishing-urls", "names no owner"),
        ("https://huggingface.co/me/x", "is no repository of the Hub"),
        ("me/a--b", "is no repository of the Hub"),
        ("me/x y", "is no repository of the Hub"),
        ("me/", "is no repository of the Hub"),
    ],
)
def test_a_name_that_the_hub_cannot_take_is_refused(
    project: Path, offline: None, repo: str, said: str
) -> None:
    with pytest.raises(MinnowError, match=said) as refusal:
        push_to_hub.main(project, repo, "dry-run")
    assert "make push-to-hub REPO=me/phishing-urls" in str(refusal.value)


def test_an_unknown_option_is_refused_with_the_nearest(project: Path, offline: None) -> None:
    with pytest.raises(MinnowError, match="unknown option 'dryrun'; did you mean 'dry-run'"):
        push_to_hub.main(project, REPO, "dryrun")


def test_a_release_of_synthetic_data_is_refused_unless_asked_for(
    tmp_path: Path, calls: Calls
) -> None:
    project = released(tmp_path, synthetic=True)
    for options in ([], ["dry-run"], ["public"]):
        with pytest.raises(MinnowError, match=r"learned from synthetic URLs .* SYNTHETIC=1"):
            push_to_hub.main(project, REPO, *options)
    assert calls == []
    push_to_hub.main(project, REPO, "synthetic")
    assert [name for name, _ in calls] == ["create_repo", "upload_folder"]


def test_a_missing_or_damaged_release_is_refused(project: Path, calls: Calls) -> None:
    weights = Layout(project).release / "model.safetensors"
    weights.write_bytes(b"other")
    with pytest.raises(
        MinnowError, match=r"model\.safetensors differs from its manifest: download the release"
    ):
        push_to_hub.main(project, REPO)
    weights.unlink()
    with pytest.raises(MinnowError, match=r"model\.safetensors is missing"):
        push_to_hub.main(project, REPO)
    weights.write_bytes(b"weights" * 100)
    (weights.parent / "README.md").unlink()
    with pytest.raises(MinnowError, match=r"README\.md is missing; `dvc repro package` makes it"):
        push_to_hub.main(project, REPO)
    with pytest.raises(
        MinnowError, match=r"models/release is missing; `dvc repro package` makes it"
    ):
        push_to_hub.main(project / "empty", REPO)
    assert calls == []


def test_without_a_token_nothing_is_tried(
    project: Path, offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        MinnowError,
        match=r"no token for the Hugging Face Hub; run `hf auth login`, or set HF_TOKEN",
    ):
        push_to_hub.main(project, REPO)


# --- What the Hub answers -------------------------------------------------------------------------


def test_a_hub_that_cannot_be_reached_is_told_in_one_line(
    project: Path, token: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """conftest points HF_ENDPOINT to a port that refuses; this goes all the way through
    huggingface_hub.
    """
    stage = entry_point()
    monkeypatch.setattr(stage, "ROOT", project)
    monkeypatch.setattr(stage, "prepare_process", lambda: None)
    code = stage.main(["push_to_hub", REPO])
    line = complaint("push_to_hub", code, capsys.readouterr().err)
    assert line.startswith(f"the upload to {REPO} failed (ConnectError: ")
    assert "check the network" in line
    assert "hf_not_a_token" not in line


def answer(status: int) -> errors.HfHubHTTPError:
    response = httpx2.Response(status, request=httpx2.Request("POST", f"{ADDRESS}/api"))
    return errors.HfHubHTTPError(f"{status} Client Error:\n said so", response=response)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            400,
            (
                "the Hub does not take this name or these files (HfHubHTTPError: 400 Client Error:"
                " said so)"
            ),
        ),
        (401, "does not know this token, or it has expired; run `hf auth login`, or set HF_TOKEN"),
        (
            403,
            (
                f"may not write to {REPO}: take one with write access to me, or another REPO; run"
                " `hf auth login`"
            ),
        ),
        (404, f"no {REPO} that this token may see, or no owner me"),
        (409, "was changed by somebody else meanwhile; run it again"),
        (429, "run it again in some minutes"),
        (503, f"the Hub failed for {REPO} (HfHubHTTPError: 503"),
    ],
)
@pytest.mark.parametrize("call", ["create_repo", "model_info", "upload_folder"])
def test_each_refusal_of_the_hub_has_its_remedy(
    project: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch, call: str, status: int, said: str
) -> None:
    monkeypatch.setattr(f"huggingface_hub.HfApi.{call}", raising(answer(status)))
    with pytest.raises(MinnowError) as refusal:
        push_to_hub.main(project, REPO)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errors.OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE is set; unset it"),
        (
            httpx2.ReadTimeout("slow"),
            f"the upload to {REPO} failed (ReadTimeout: slow); check the network",
        ),
        (
            ValueError("Invalid metadata in README.md."),
            "failed (ValueError: Invalid metadata in README.md.)",
        ),
        (RuntimeError("xet: no route"), "failed (RuntimeError: xet: no route)"),
    ],
)
def test_other_failures_are_told_in_one_line(
    project: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", raising(error))
    with pytest.raises(MinnowError) as refusal:
        push_to_hub.main(project, REPO)
    assert said in str(refusal.value)


def raising(error: Exception) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        raise error

    return call
