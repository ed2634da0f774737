"""One environment in three files: pyproject.toml, constraints.txt and environment.yml may not drift apart.

And nothing of one machine gets into the clone: no index addresses, no paths, no lock files that carry them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PLACES = [
    {
        "python_full_version": full,
        "python_version": full.rpartition(".")[0],
        "sys_platform": system,
        "os_name": name,
    }
    for full in ("3.11.0", "3.11.9", "3.12.1", "3.13.5")
    for system, name in (("linux", "posix"), ("darwin", "posix"), ("win32", "nt"))
]


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def asked() -> list[Requirement]:
    """What the constraints answer for: the library's needs and every extra but `peers` (benchmarks only)."""
    extras = PROJECT["optional-dependencies"]
    return [Requirement(r) for r in PROJECT["dependencies"] + extras["dev"] + extras["cluster"]]


@pytest.mark.parametrize("need", asked(), ids=lambda need: need.name)
def test_each_need_has_one_pin_on_every_python_and_system_and_the_pin_satisfies_it(need: Requirement) -> None:
    named = [pin for pin in pins() if canonicalize_name(pin.name) == canonicalize_name(need.name)]
    for place in PLACES:
        (pin,) = [p for p in named if p.marker is None or p.marker.evaluate(place)]
        (version,) = [spec.version for spec in pin.specifier if spec.operator == "=="]
        assert Version(version) in need.specifier, f"{pin} does not satisfy {need}"


def test_no_package_is_pinned_twice_for_one_place() -> None:
    for place in PLACES:
        names = [canonicalize_name(p.name) for p in pins() if p.marker is None or p.marker.evaluate(place)]
        assert len(names) == len(set(names))


def test_every_line_of_constraints_is_an_exact_version_and_nothing_else() -> None:
    for pin in pins():
        assert pin.url is None and not pin.extras, f"pip refuses {pin} as a constraint"
        assert re.fullmatch(r"==[^*]+", str(pin.specifier)), f"{pin} is not exact"


def test_torch_and_torchvision_are_plain_builds_for_every_system() -> None:
    for pin in pins():
        if pin.name in ("torch", "torchvision"):
            assert pin.marker is None
            assert Version(next(iter(pin.specifier)).version).local is None, f"{pin}: one machine's build"


def test_the_peers_stay_outside_the_constraints() -> None:
    peers = {canonicalize_name(Requirement(r).name) for r in PROJECT["optional-dependencies"]["peers"]}
    assert peers and not peers & {canonicalize_name(pin.name) for pin in pins()}


def test_environment_yml_installs_the_same_extra_through_the_same_file() -> None:
    wanted = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
    (through_pip,) = [entry["pip"] for entry in wanted if isinstance(entry, dict)]
    assert through_pip == ["-c constraints.txt", "-e .[dev]"]
    plain = [entry for entry in wanted if isinstance(entry, str)]
    names = sorted(entry.partition("=")[0] for entry in plain)
    assert names == ["pip", "python"], "the rest belongs in pyproject.toml"
    (python,) = [entry.partition("=")[2] for entry in plain if entry.startswith("python")]
    assert Version(python) in SpecifierSet(PROJECT["requires-python"])


def test_the_workflow_tries_every_python_that_is_allowed() -> None:
    flow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    tried = flow["jobs"]["test"]["strategy"]["matrix"]["python"]
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert tried == [v for v in (f"3.{minor}" for minor in range(8, 30)) if Version(v) in allowed]


def tracked() -> Iterator[Path]:
    """What a clone holds: files git tracks or would add. Outside a git checkout there is nothing to ask."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout, so there is no list of tracked files")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    yield from (ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


def texts() -> Iterator[tuple[str, str]]:
    for path in tracked():
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue  # pictures and arrays
        # pictures inside notebooks are long base64 runs, in which any short word turns up by chance
        yield path.relative_to(ROOT).as_posix(), re.sub(r"[A-Za-z0-9+/=]{60,}", "", text)


# written in halves, so that this file is not the first to break its own rule
HOSTS = [
    r"pypi\.(?:org|python|nvidia)", r"python" + r"hosted\.", r"npm" + r"js\.(?:com|org)", r"npm" + r"mirror",
    r"download\.py" + r"torch", r"repo\.ana" + r"conda", r"conda\.ana" + r"conda", r"deb\.deb" + r"ian",
    r"(?:extra-)?index" + r"-url\b", r"find" + r"-links\b", r"tuna\.tsing" + r"hua", r"mirrors\.ali" + r"yun",
]  # fmt: skip
PATHS = [
    r"(?<![\w.~/-])/(?:work|root|opt|mnt|srv)/\w", r"(?<![\w.~/-])/(?:home|Users)/\w", r"[A-Z]:\\+Users\\+\w",
    r"(?<![\w.~/-])/tmp/\w", r"(?<![\w.~/-])/var/" + r"folders/",
]  # fmt: skip
WORDS = [r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b"]


@pytest.mark.parametrize("signs", [HOSTS, PATHS, WORDS], ids=["addresses", "machine paths", "loose ends"])
def test_no_text_in_the_clone_carries(signs: list[str]) -> None:
    sign = re.compile("|".join(signs))
    found = [f"{name}: {hit.group()}" for name, text in texts() for hit in sign.finditer(text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("signs", "bad"),
    [
        (HOSTS, "https://pypi" + ".org/simple"),
        (HOSTS, "pip install --extra-index" + "-url x"),
        (PATHS, "see /ho" + "me/anna/falsework"),
        (PATHS, '"/tm' + 'p/ipykernel_7"'),
        (PATHS, "C:" + "\\Users\\anna"),
        (WORDS, "# TO" + "DO: later"),
    ],
)
def test_the_signs_catch_what_they_are_for(signs: list[str], bad: str) -> None:
    assert re.search("|".join(signs), bad)


def test_no_lock_file_is_kept_since_they_carry_index_addresses() -> None:
    names = {path.name for path in tracked()}
    assert not names & {"uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "package-lock.json"}
