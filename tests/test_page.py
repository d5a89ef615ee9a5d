"""The page in a browser: answers for a group are read off it, a broken file gets a sentence, no outsider is asked."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_faces import bare, encode, portraits
from tiny_model import write_model

from shared.predictor import Face, Predictor
from shared.showing.card import card

ROOT = Path(__file__).parents[1]
PATIENCE = 120
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1280,900")
CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")

pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="chromium and chromedriver are not installed")


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
def page(model: Path, talks: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page that is a process of its own, and ends when it is told to."""
    log, folder = tmp_path_factory.mktemp("page") / "log", tmp_path_factory.mktemp("temporary")
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
    from selenium import webdriver

    film = tmp_path_factory.mktemp("camera") / "film.mjpeg"
    film.write_bytes(encode(bare().pixels, quality=95) * 3)

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, *CAMERA, f"--use-file-for-fake-video-capture={film}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield browser
    browser.quit()


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


def told(browser: Any) -> str:
    """What is said of the chosen face, or instead of it."""
    return " ".join(word for answer in find(browser, "#answer") for word in answer.text.split())


def words_of(face: Face) -> str:
    """The headline and the bars of a face, as the page should show them."""
    import html
    import re

    text = re.sub(r"<[^>]+>", " ", card(face, np.zeros((256, 256, 3), np.uint8), {}))
    return " ".join(html.unescape(text).split())


def without_case(text: str) -> str:
    return text.casefold().replace(" ", "")


def test_the_answers_for_a_group_can_be_read_and_its_faces_chosen(opened: Any, model: Path, tmp_path: Path) -> None:
    sitters = [portrait.pixels for portrait in portraits() if portrait.kind == "normal"]
    group = tmp_path / "group.png"
    group.write_bytes(encode(np.concatenate(sitters, axis=1), "PNG"))
    (known,) = Predictor.load(model, device="cpu")(group)
    faces = sorted(known.faces, key=lambda face: face.box[0])
    assert len(faces) == 2
    assert words_of(faces[0]) != words_of(faces[1])
    upload(opened, group)
    for number, face in enumerate(faces):
        wait(opened, lambda: len(find(opened, "#chosen label")) == 2)
        find(opened, "#chosen label")[number].click()
        expected = without_case(words_of(face))
        wait(opened, lambda expected=expected: without_case(told(opened)).startswith(expected))
        assert len(find(opened, "#answer img.heat")) == 3
    (image,) = find(opened, "#marked img")
    assert image.get_property("naturalWidth") == 768
    click_left_of_middle(opened, image)
    expected = without_case(words_of(faces[0]))
    wait(opened, lambda: without_case(told(opened)).startswith(expected))


def click_left_of_middle(browser: Any, element: Any) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).move_to_element_with_offset(element, -element.size["width"] // 4, 0).click().perform()


def test_a_face_before_the_camera_is_answered(opened: Any) -> None:
    find(opened, "#photograph button[aria-label='Capture from camera']")[0].click()
    allow = "//*[@id='photograph']//button[contains(., 'Webcam')]"
    wait(opened, lambda: opened.find_elements("xpath", allow))[0].click()
    wait(opened, lambda: find(opened, "#photograph button[aria-label='capture photo']"))[0].click()
    wait(opened, lambda: find(opened, "#answer .face"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"no image at all", "no image"), (b"", "empty"), (b"\xff\xd8\xff\xe0 cut", "cannot|cut short|no image")],
    ids=["text", "empty", "head"],
)
def test_a_broken_file_gets_a_sentence_and_another_try(
    opened: Any, tmp_path: Path, content: bytes, sentence: str
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(content)
    upload(opened, broken)
    wait(opened, lambda: find(opened, "#answer .sentence"))
    assert any(words in told(opened) for words in sentence.split("|")), told(opened)
    find(opened, "#another")[0].click()
    wait(opened, lambda: find(opened, "#photograph input[type=file]") and not told(opened))


def test_an_example_is_answered_with_a_click(opened: Any) -> None:
    wait(opened, lambda: len(find(opened, ".begin .gallery-item")) == 4)
    find(opened, ".begin .gallery-item")[1].click()
    wait(opened, lambda: find(opened, "#answer .face"))


def test_a_phone_shows_it_without_scrolling_sideways(opened: Any) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    )
    find(opened, ".begin .gallery-item")[0].click()
    wait(opened, lambda: find(opened, "#answer .face"))
    assert opened.execute_script("return document.documentElement.scrollWidth") <= 390
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_browser_asks_nobody_but_this_machine(opened: Any, page: str) -> None:
    """Last: the log holds what all tests above made the browser fetch."""
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = {
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    }
    assert any(url.startswith(page) for url in asked)
    assert not [url for url in asked if not url.startswith((page, "data:", "blob:"))]


def test_the_page_asks_nobody_at_all(page: str, talks: Path) -> None:
    """Last as well."""
    assert page
    assert not [line for line in talks.read_text().splitlines() if "127.0.0.1" not in line]
    code = "import socket; socket.getaddrinfo('127.0.0.1', 80)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(talks.parent)})
    assert "socket.getaddrinfo 127.0.0.1" in talks.read_text(), "the listener is deaf"
