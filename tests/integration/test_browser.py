"""A reader's way through one notebook, in a real browser: JupyterLab on loopback, a guess typed in, all cells run.

Everything else executes notebooks without a screen. Only here are the live pictures, the kept guess and the verdict
card looked at where readers meet them. Nothing waits a fixed time: each step waits for what it needs to see.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "notebooks"))
from falsework.claims.published import judge_published
from falsework.lesson import REHEARSAL
from redraw import environment, scratch_course

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install -e '.[dev]'")

NOTEBOOK, CLAIM, GUESS = "01_igpt", "C09a", 37
TRAINING = "What the model in training makes at this moment."
BROWSERS = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "chrome", "msedge")
START, READ, ALL_CELLS = 180, 90, 600  # seconds until waiting is given up; a quiet machine needs a tenth
# JupyterLab attaches only the cells in sight, and asks its makers for news; a reader may set both as we do
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"checkForUpdates": False, "fetchNews": "false", "doNotDisturbMode": True},
}
# the first cell is waiting for the kernel, or has its number already
FIRST = "document.querySelector('.jp-CodeCell .jp-InputArea-prompt').innerText.trim()"
BEGUN = f"() => /^\\[[\\d*]+\\]:?$/.test({FIRST})"
# all code cells have their number, none its star, or something went wrong, which is then seen at once
DONE = """count => {
    if (document.querySelector('[data-mime-type="application/vnd.jupyter.error"], .jp-Dialog')) return true;
    const cells = [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')];
    const idle = document.querySelector('.jp-Notebook-ExecutionIndicator[data-status="idle"]');
    return idle && cells.length === count && cells.every(cell => /^\\[\\d+\\]:?$/.test(cell.innerText.trim()));
}"""
PICTURES = """() => [...document.querySelectorAll('.jp-OutputArea-output img')].map(
    picture => ({alt: picture.alt, width: picture.complete ? picture.naturalWidth : 0}))"""


def browser_path() -> str | None:
    """Return the first Chromium or kin of it on PATH, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A copy of the course with empty stores, whose notebook rehearses and shows nothing yet."""
    course = scratch_course(tmp_path)
    path = course / "notebooks" / f"{NOTEBOOK}.ipynb"
    book = nbformat.read(path, 4)
    for cell in book.cells:
        if cell.cell_type == "code":  # what is seen afterwards must come from this run
            cell.outputs, cell.execution_count = [], None
        if "parameters" in cell.metadata.get("tags", []):
            assert '"laptop"' in cell.source and "SEEDS: list = [0]" in cell.source
            cell.source = cell.source.replace('"laptop"', '"smoke"')
    nbformat.write(book, path)
    return course


@pytest.fixture
def lab(course: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a JupyterLab that knows no settings but its own; it ends with the test, and its kernels with it."""
    home = tmp_path / "home"
    for name, settings in SETTINGS.items():
        path = home / "config" / "lab" / "user-settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    env = {k: v for k, v in environment(course).items() if not k.startswith(("JUPYTER", "JPY_"))}
    env |= {"HOME": str(home), "IPYTHONDIR": str(home / "ipython")}
    env |= {f"JUPYTER_{kind.upper()}_DIR": str(home / kind) for kind in ("config", "data", "runtime")}
    token = os.urandom(16).hex()
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": 0,
        "ServerApp.open_browser": False,
        "ServerApp.root_dir": course,
        "IdentityProvider.token": token,
        "LabApp.extension_manager": "readonly",
    }
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", *(f"--{k}={v}" for k, v in options.items())]
    log = tmp_path / "jupyterlab.log"
    with log.open("wb") as out:
        server = subprocess.Popen(command, cwd=course, env=env, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield f"{address(server, home / 'runtime', log)}lab/tree/notebooks/{NOTEBOOK}.ipynb?token={token}"
    finally:
        server.send_signal(signal.SIGTERM)  # shuts its kernels down first; a kernel whose server is gone ends itself
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def address(server: subprocess.Popen, runtime: Path, log: Path) -> str:
    """Return the address that a server writes down when it listens: it has chosen a free port itself."""
    until = time.monotonic() + START
    while time.monotonic() < until and server.poll() is None:
        for path in runtime.glob(f"jpserver-{server.pid}.json"):
            try:
                return json.loads(path.read_text())["url"]
            except ValueError:  # half written
                pass
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab does not answer: {log.read_text()[-3000:]}")


@pytest.fixture
def page(tmp_path: Path) -> Iterator[playwright.Page]:
    """A page of a headless Chromium with a profile of its own; whatever happened, its last sight is kept."""
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=browser_path(), args=["--disable-dev-shm-usage"])
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 960})
            yield page
            page.screenshot(path=tmp_path / "last_sight.png", animations="disabled")
        finally:
            browser.close()


@pytest.mark.skipif(browser_path() is None, reason=f"no browser on PATH: none of {', '.join(BROWSERS)}")
def test_a_reader_runs_a_notebook_in_jupyterlab_and_sees_pictures_a_verdict_and_their_guess_kept(
    course: Path, lab: str, page: playwright.Page, tmp_path: Path
) -> None:
    count = sum(c.cell_type == "code" for c in nbformat.read(course / "notebooks" / f"{NOTEBOOK}.ipynb", 4).cells)
    page.set_default_timeout(1000 * READ)
    page.goto(lab, timeout=1000 * START)
    # only the status bar tells a kernel that is connected from one that is awaited: run before that, cells stay empty
    page.get_by_text("Python 3 (ipykernel) | Idle", exact=True).wait_for(timeout=1000 * START)

    line = page.locator(".cm-line").filter(has_text="my_guess = ")
    line.get_by_text("20", exact=True).dblclick()  # selects the number
    page.keyboard.type(str(GUESS))
    playwright.expect(line).to_contain_text(f"my_guess = {GUESS}")

    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(BEGUN)
    page.wait_for_function(DONE, arg=count, timeout=1000 * ALL_CELLS)

    assert not page.locator(".jp-Dialog").all_inner_texts()
    assert not page.locator('[data-mime-type="application/vnd.jupyter.error"]').all_inner_texts()

    page.wait_for_function(f"() => ({PICTURES})().every(picture => picture.width > 0)")
    pictures = page.evaluate(PICTURES)
    assert len(pictures) >= 10 and all(picture["alt"] for picture in pictures), pictures
    assert TRAINING in [picture["alt"] for picture in pictures], "training showed no pictures while it ran"

    assert page.get_by_text("Your guess is kept.", exact=True).count() == 1
    kept = json.loads((course / "runs" / "guesses.json").read_text("utf-8"))
    assert [asked["answer"] for asked in kept[NOTEBOOK].values()] == [GUESS]

    judged = judge_published(course / "evidence")[CLAIM]
    card = page.locator(".jp-OutputArea-output > div").filter(has_text=f"We test: {judged.claim.wording}")
    card.scroll_into_view_if_needed()
    for said in (f"{CLAIM} · {judged.verdict.state}", judged.verdict.sentence, REHEARSAL):
        playwright.expect(card).to_contain_text(said)

    sight = tmp_path / "verdict.png"
    page.screenshot(path=sight, animations="disabled")
    assert sight.stat().st_size > 20_000
    print(f"a screenshot is kept: {sight}")
