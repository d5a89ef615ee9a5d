"""The page in a browser: results of a group can be read, by keyboard too; nothing is fetched from elsewhere or kept."""

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browser as chromium
import numpy as np
import pytest
from drawn_faces import bare, encode, portraits
from tiny_model import write_model

from shared.html_pages import render
from shared.page.rendering import face_html
from shared.predictor import Face, Predictor
from shared.serving.app import Model, create_app

ROOT = Path(__file__).parents[1]
PATIENCE = 120
CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


LISTENER = """
import sys

def heard(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        whom = arguments[0] if event.startswith("socket.get") else arguments[-1]
        with open({log!r}, "a") as file:
            file.write(f"{{event}} {{whom}}\\n")

sys.addaudithook(heard)
"""
"""Run at the start of a Python process: writes down whom it talks to."""


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with whom the page's process has talked to."""
    folder = tmp_path_factory.mktemp("listener")
    log = folder / "talks"
    log.touch()
    (folder / "sitecustomize.py").write_text(LISTENER.format(log=str(log)))
    return log


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's process puts temporary files."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def page(model: Path, talks: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page that is a process of its own, and ends when it gets SIGTERM."""
    log = tmp_path_factory.mktemp("page") / "log"
    command = [sys.executable, "-m", "shared.page", "--model", str(model), "--port", "0"]
    python_path = os.pathsep.join([str(talks.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder), "PYTHONPATH": python_path}
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)
    try:
        until = time.monotonic() + PATIENCE
        while "page is at" not in log.read_text():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        yield log.read_text().split("page is at ")[1].split()[0]
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE) == 0
        assert not list(folder.glob("face18-page-*")), "uploads are left behind"
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """With a camera that sees a drawn face."""
    film = tmp_path_factory.mktemp("camera") / "film.mjpeg"
    film.write_bytes(encode(bare().pixels, quality=95) * 3)
    with chromium.browser(*CAMERA, f"--use-file-for-fake-video-capture={film}") as driver:
        yield driver


@pytest.fixture
def opened(browser: Any, page: str) -> Any:
    browser.get(page)
    wait(browser, lambda: find(browser, "#photograph input[type=file]"))
    return browser


def find(browser: Any, selector: str) -> list[Any]:
    return list(browser.find_elements("css selector", selector))


def wait(browser: Any, condition: Callable[[], Any]) -> Any:
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    patient = WebDriverWait(browser, PATIENCE, ignored_exceptions=[StaleElementReferenceException])
    return patient.until(lambda _: condition())


def upload(browser: Any, path: Path) -> None:
    find(browser, "#photograph input[type=file]")[0].send_keys(str(path))


def results(browser: Any) -> str:
    """What the page says about the chosen face, or instead of it."""
    return squeeze(" ".join(element.text for element in find(browser, "#results")))


def words_of(face: Face, number: int, count: int) -> str:
    """The headline and the bars of a face, as the page should show them."""
    return squeeze(html.unescape(re.sub(r"<[^>]+>", " ", face_html(face, number, count, "", {}))))


def squeeze(text: str) -> str:
    """Without spaces and upper case, which style sheets change."""
    return "".join(text.casefold().split())


def write_group(path: Path) -> Path:
    """Two portraits side by side."""
    sitters = [portrait.pixels for portrait in portraits() if portrait.kind == "normal"]
    path.write_bytes(encode(np.concatenate(sitters, axis=1), "PNG"))
    return path


def test_the_faces_of_a_group_can_be_chosen_by_mouse_and_keyboard(
    opened: Any, model: Path, folder: Path, tmp_path: Path
) -> None:
    group = write_group(tmp_path / "group.png")
    (photograph,) = Predictor.load(model, device="cpu")(group)
    first, second = (words_of(face, number, 2) for number, face in enumerate(photograph.faces, 1))
    assert first != second
    upload(opened, group)
    wait(opened, lambda: len(find(opened, "#photo input[type=radio]")) == 2)
    for number, expected in ((0, first), (1, second)):
        find(opened, "#photo .mark")[number].click()
        wait(opened, lambda expected=expected: results(opened).startswith(expected))
        assert len(find(opened, "#results img.heat")) == 3
    # The radio buttons are one tab stop; arrow keys move between them.
    opened.switch_to.active_element.send_keys("\ue012")
    wait(opened, lambda: results(opened).startswith(first))
    (image,) = find(opened, "#photo > * img")
    assert image.get_property("naturalWidth") == 768
    # Only what was uploaded is a file: choosing faces leaves no copies.
    kept = [path.name for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
    assert kept == ["group.png"]


def test_progress_shows_at_once_and_the_focus_goes_to_the_main_face(opened: Any, tmp_path: Path) -> None:
    (region,) = find(opened, "#status [role=status]")
    opened.execute_script(
        "window.seen = []; const status = document.querySelector('#status');"
        "new MutationObserver(() => seen.push(status.textContent)).observe(status, {childList: true, subtree: true})"
    )
    upload(opened, write_group(tmp_path / "group.png"))
    wait(opened, lambda: opened.switch_to.active_element.get_attribute("name") == "face")
    assert opened.switch_to.active_element.get_property("checked")
    seen = opened.execute_script("return seen")
    assert "Looking for faces" in seen[0]
    assert "2 faces found" in seen[-1]
    # Screen readers announce changes below an element that stays.
    assert find(opened, "#status [role=status]") == [region]
    find(opened, "#another")[0].click()
    wait(opened, lambda: "upload-container" in (opened.switch_to.active_element.get_attribute("class") or ""))


def test_axe_finds_no_barrier(opened: Any) -> None:
    axe = axe_core()
    for scheme in ("light", "dark"):
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
        opened.refresh()
        wait(opened, lambda: find(opened, ".examples button"))
        barriers = violations(opened, axe)
        find(opened, ".examples button")[0].click()
        wait(opened, lambda: find(opened, "#results .face"))
        barriers += violations(opened, axe)
        find(opened, "#another")[0].click()
        wait(opened, lambda: find(opened, ".examples button"))
        barriers += violations(opened, axe)
        assert not barriers, scheme
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier_in_the_description_of_the_service(browser: Any, scheme: str, tmp_path: Path) -> None:
    page = tmp_path / "docs.html"
    api = create_app(lambda: Model({}, bytes, list)).openapi()
    page.write_text(render("service_docs.html", api=api), encoding="utf-8")
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(page.as_uri())
    barriers = violations(browser, axe_core())
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert not barriers


def axe_core() -> str:
    """The script of axe-core, as `npm install --global axe-core` installs it; skips the test where it is missing."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    root = subprocess.run([npm, "root", "--global"], capture_output=True, text=True, check=True).stdout.strip()
    script = Path(root) / "axe-core" / "axe.min.js"
    if not script.is_file():
        pytest.skip("axe-core is not installed: npm install --global axe-core")
    return script.read_text(encoding="utf-8")


def violations(browser: Any, axe: str) -> list[str]:
    browser.execute_script(axe)
    found = browser.execute_async_script("axe.run(document).then(arguments[0])")["violations"]
    return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]


def test_a_face_before_the_camera_is_answered(opened: Any) -> None:
    find(opened, "#photograph button[aria-label='Capture from camera']")[0].click()
    allow = "//*[@id='photograph']//button[contains(., 'Webcam')]"
    wait(opened, lambda: opened.find_elements("xpath", allow))[0].click()
    wait(opened, lambda: find(opened, "#photograph button[aria-label='capture photo']"))[0].click()
    wait(opened, lambda: find(opened, "#results .face"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"no image at all", "not an image"), (b"", "empty"), (b"\xff\xd8\xff\xe0 cut", "cannot|incomplete|not an image")],
    ids=["text", "empty", "head"],
)
def test_a_broken_file_gets_a_sentence_and_another_try(
    opened: Any, tmp_path: Path, content: bytes, sentence: str
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(content)
    upload(opened, broken)
    wait(opened, lambda: find(opened, "#results .sentence"))
    assert any(squeeze(words) in results(opened) for words in sentence.split("|")), results(opened)
    find(opened, "#another")[0].click()
    wait(opened, lambda: find(opened, "#photograph input[type=file]") and not results(opened))


def test_a_phone_shows_it_without_scrolling_sideways(opened: Any) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    )
    wait(opened, lambda: find(opened, ".examples button"))[1].click()
    wait(opened, lambda: find(opened, "#results .face"))
    assert opened.execute_script("return document.documentElement.scrollWidth") <= 390
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_browser_asks_nobody_but_this_machine(opened: Any, page: str) -> None:
    """Last: the log holds what all tests above made the browser fetch."""
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = {
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    }
    assert any(url.startswith(page) for url in asked)
    # Pages that a test of accessibility opened from its own folder are files.
    assert not [url for url in asked if not url.startswith((page, "data:", "blob:", "file:"))]


def test_the_page_asks_nobody_at_all(page: str, talks: Path) -> None:
    """Last as well."""
    assert page
    assert not [line for line in talks.read_text().splitlines() if "127.0.0.1" not in line]
    code = "import socket; socket.getaddrinfo('127.0.0.1', 80)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(talks.parent)})
    assert "socket.getaddrinfo 127.0.0.1" in talks.read_text(), "the listener is deaf"
