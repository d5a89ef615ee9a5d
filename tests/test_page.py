"""The page in a browser: photographs, camera, downloads, languages; nothing is fetched from elsewhere or kept."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import browser as chromium
import numpy as np
import pytest
from drawn_faces import bare, encode, portraits
from tiny_model import write_model

from shared.html_pages import render
from shared.page.texts import ENGLISH, KOREAN
from shared.predictor import Predictor
from shared.predictor.results import as_csv, as_json
from shared.serving.app import Model, create_app

ROOT = Path(__file__).parents[1]
PATIENCE = 300
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
    """With a camera that sees one drawn face after another."""
    film = tmp_path_factory.mktemp("camera") / "film.mjpeg"
    film.write_bytes(b"".join(encode(portrait.pixels, quality=95) for portrait in portraits()))
    with chromium.browser(*CAMERA, f"--use-file-for-fake-video-capture={film}") as driver:
        yield driver


@pytest.fixture
def opened(browser: Any, page: str) -> Any:
    browser.get(page)
    wait(browser, lambda: find(browser, "#upload input[type=file]"))
    return browser


def find(browser: Any, selector: str) -> list[Any]:
    return list(browser.find_elements("css selector", selector))


def wait(browser: Any, condition: Callable[[], Any]) -> Any:
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    patient = WebDriverWait(browser, PATIENCE, ignored_exceptions=[StaleElementReferenceException])
    return patient.until(lambda _: condition())


def upload(browser: Any, *paths: Path) -> None:
    find(browser, "#upload input[type=file]")[0].send_keys("\n".join(map(str, paths)))


def say(browser: Any, selector: str) -> str:
    """The words of an element that is shown; empty if there is none."""
    return " ".join(element.text for element in find(browser, selector) if element.is_displayed())


def rows(browser: Any) -> list[Any]:
    """The rows of the table of faces, without its head."""
    return [row for row in find(browser, "#table [role=row]") if row.get_attribute("aria-rowindex") != "1" and row.text]


def choose_tab(browser: Any, number: int) -> None:
    find(browser, "button[role=tab]")[number].click()


def write_group(path: Path) -> Path:
    """Two portraits side by side."""
    sitters = [portrait.pixels for portrait in portraits() if portrait.kind == "normal"]
    path.write_bytes(encode(np.concatenate(sitters, axis=1), "PNG"))
    return path


def write_crowd(path: Path) -> Path:
    """24 portraits in four rows."""
    sitters = [portrait.pixels[::2, ::2] for portrait in (portraits() * 2)[:24]]
    path.write_bytes(encode(np.concatenate([np.concatenate(sitters[at::4], axis=1) for at in range(4)]), quality=90))
    return path


def test_several_photographs_give_one_table_in_which_a_face_is_chosen(opened: Any, model: Path, tmp_path: Path) -> None:
    portrait, broken, group = tmp_path / "portrait.jpg", tmp_path / "broken.jpg", write_group(tmp_path / "group.png")
    portrait.write_bytes(encode(bare().pixels))
    broken.write_bytes(b"no image")
    (region,) = find(opened, "#status [role=status], #status[role=status]")
    upload(opened, portrait, broken, group)
    wait(opened, lambda: len(rows(opened)) == 3)
    assert "Faces: 3. Photographs: 3." in say(opened, "#status")
    assert "broken.jpg is not an image" in say(opened, "#status")
    # Screen readers announce changes below an element that stays.
    assert find(opened, "#status [role=status], #status[role=status]") == [region]
    (photograph,) = Predictor.load(model, device="cpu")(group)
    rows(opened)[2].find_elements("css selector", "[role=gridcell]")[1].click()
    wait(opened, lambda: "Face 2 of" in say(opened, "#headline"))
    assert "group.png" in say(opened, "#headline")
    assert str(photograph.faces[1].age) in say(opened, "#headline")
    find(opened, "#heat button")[0].click()
    wait(opened, lambda: len(find(opened, "#heat img")) == 3)
    find(opened, "#shown .thumbnail-item")[0].click()
    wait(opened, lambda: "portrait.jpg" in say(opened, "#headline"))


def test_downloads_are_those_of_predict(opened: Any, model: Path, tmp_path: Path) -> None:
    opened.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    group = write_group(tmp_path / "group.png")
    upload(opened, group)
    wait(opened, lambda: len(rows(opened)) == 2)
    for kind in ("images", "csv", "json"):
        find(opened, f"#download-{kind}")[0].click()
    names = ("annotated.zip", "predictions.csv", "predictions.json")
    wait(opened, lambda: all((tmp_path / name).is_file() for name in names))
    (photograph,) = Predictor.load(model, device="cpu")(group)
    photographs = [replace(photograph, source="group.png", drawn="group.jpg")]
    assert (tmp_path / names[1]).read_text(encoding="utf-8").splitlines() == [*as_csv(photographs)]
    assert (tmp_path / names[2]).read_text(encoding="utf-8").splitlines() == [*as_json(photographs)]
    assert zipfile.ZipFile(tmp_path / names[0]).namelist() == ["group.jpg"]


def test_predictions_below_the_threshold_are_unsure(opened: Any, tmp_path: Path) -> None:
    upload(opened, write_group(tmp_path / "group.png"))
    wait(opened, lambda: len(rows(opened)) == 2)
    threshold = find(opened, "#threshold input[type=number]")[0]
    for value, unsure in (("1", True), ("0", False)):
        threshold.send_keys("\ue009a\ue000", value, "\ue004")  # Control-A, the value, Tab.
        wait(opened, lambda unsure=unsure: ("unsure" in rows(opened)[0].text) == unsure)
        wait(opened, lambda unsure=unsure: ("unsure" in say(opened, "#headline")) == unsure)


def test_the_page_speaks_korean(page: str) -> None:
    with chromium.browser("--accept-lang=ko-KR") as driver:
        driver.get(page)
        wait(driver, lambda: find(driver, "#examples button"))[0].click()
        wait(driver, lambda: rows(driver))
        words = driver.execute_script("return document.body.innerText")
    for key in ("title", "threshold", "photographs", "camera", "table", "download_images", "footnote"):
        assert KOREAN[key].split("{")[0] in words
        assert ENGLISH[key].split("{")[0].strip() not in words


def test_axe_finds_no_barrier(opened: Any) -> None:
    axe = axe_core()
    for scheme in ("light", "dark"):
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
        opened.refresh()
        wait(opened, lambda: find(opened, "#examples button"))
        barriers = violations(opened, axe)
        find(opened, "#examples button")[0].click()
        wait(opened, lambda: rows(opened) and say(opened, "#headline"))
        barriers += violations(opened, axe)
        choose_tab(opened, 1)
        wait(opened, lambda: say(opened, "#camera"))
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


def test_the_live_camera_shows_predictions_again_and_again_and_keeps_no_frame(opened: Any, folder: Path) -> None:
    kept = set(folder.rglob("*"))
    choose_tab(opened, 1)
    wait(opened, lambda: [button for button in find(opened, "#camera button") if "Webcam" in button.text])[0].click()
    wait(opened, lambda: find(opened, "#camera button[aria-label='capture photo']"))[0].click()
    seen = set[str]()

    def two_frames() -> bool:
        seen.update(image.get_attribute("src") for image in find(opened, "#live img"))
        return len(seen) > 1

    wait(opened, two_frames)
    assert all(source.startswith("data:image/jpeg") for source in seen)
    assert set(folder.rglob("*")) <= kept


def test_a_phone_shows_24_faces_without_scrolling_sideways(opened: Any, tmp_path: Path) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    )
    upload(opened, write_crowd(tmp_path / "crowd.jpg"))
    wait(opened, lambda: "Faces: 24." in say(opened, "#status"))
    wait(opened, lambda: rows(opened))
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
