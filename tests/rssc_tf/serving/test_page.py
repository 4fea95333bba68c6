"""The page in a real browser: upload to picture, at desktop and phone width."""

import json

import pytest

from tests.browser import FLAGS

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def chromium(browser):
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=FLAGS)
        yield opened
        opened.close()


class Tab:
    """The page in a tab of its own; gathers what went wrong and what was fetched."""

    def __init__(self, chromium, server, width=1280, dark=False, answers=None):
        self.errors, self.requests = [], []
        scheme = "dark" if dark else "light"
        self.page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        for pattern, answer in (answers or {}).items():
            self.page.route(pattern, answer)
        self.page.goto(server.address)
        self.page.locator("#footer").wait_for()

    def choose(self, files, done: str):
        """Chooses files and waits until as many cards match the selector."""
        self.page.set_input_files("#files", files)
        self.page.locator(done).nth(len(files) - 1).wait_for()

    def fits(self) -> bool:
        root = "document.documentElement"
        return self.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")


@pytest.fixture
def open_page(chromium, server):
    tabs = []

    def open_(**options):
        tabs.append(Tab(chromium, server, **options))
        return tabs[-1]

    yield open_
    for tab in tabs:
        tab.page.close()


def reply(content, status=200):
    return lambda route: route.fulfill(
        status=status, content_type="application/json", body=json.dumps(content)
    )


@pytest.fixture(scope="module")
def files(scenes):
    return sorted(scenes.glob("*/*.jpg"))[::13]


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True), (320, False)])
def test_from_upload_to_evidence(open_page, client, server, files, width, dark):
    tab = open_page(width=width, dark=dark)
    page = tab.page
    assert tab.fits()
    tab.choose(files, ".card.explained")
    uploads = [(file.name, file.read_bytes()) for file in files]
    expected = client.upload("/classify", "files", uploads)[1]["results"]
    assert page.locator("h2").inner_text() == f"{len(files)} photographs"
    for number, result in enumerate(expected):
        card = page.locator(".card").nth(number)
        assert card.locator("figcaption").inner_text() == result["file"]
        assert [card.locator("h3").inner_text()] == result["predicted"]
        assert card.locator(".name").all_inner_texts() == list(result["probabilities"])
        shares = [float(text.strip("<%")) for text in card.locator(".share").all_inner_texts()]
        for shown, share in zip(shares, result["probabilities"].values(), strict=True):
            assert shown == pytest.approx(100 * share, abs=0.11)
        track = card.locator(".track").first.bounding_box()
        fill = card.locator(".fill").first.bounding_box()
        top = max(result["probabilities"].values())
        assert fill["width"] / track["width"] == pytest.approx(top, abs=0.02)
        image, heat = (card.locator(kind).bounding_box() for kind in ("img", ".heat"))
        assert image["width"] == pytest.approx(image["height"], abs=1)
        assert image["x"] < heat["x"] and heat["width"] < image["width"]
    assert tab.fits()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
    assert all(url.startswith((server.address, "data:")) for url in tab.requests)
    assert tab.errors == []


def test_another_class_and_the_slider(open_page, files):
    tab = open_page()
    tab.choose(files[:1], ".card.explained")
    card = tab.page.locator(".card")
    second = card.locator("button.class").nth(1)
    name = second.locator(".name").inner_text()
    second.press("Enter")
    card.get_by_text(f"“{name}”").wait_for()
    assert second.get_attribute("aria-pressed") == "true"
    assert card.locator("[aria-pressed=true]").count() == 1
    slider = card.get_by_label("Evidence overlay")
    slider.focus()
    slider.press("Home")
    heat = card.locator(".heat")
    assert heat.evaluate("element => element.style.opacity") == "0"
    slider.press("End")
    assert heat.evaluate("element => element.style.opacity") == "1"
    tab.page.get_by_role("button", name="Clear").click()
    assert tab.page.locator(".card").count() == 0
    assert tab.page.evaluate("document.activeElement.id") == "files"
    assert tab.errors == []


def test_dropped_and_broken_files(open_page, files):
    tab = open_page(width=390)
    tab.page.evaluate(
        """([name, bytes]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], name));
          transfer.items.add(new File(["no image"], "notes.txt"));
          document.body.dispatchEvent(new DragEvent("drop",
            {bubbles: true, cancelable: true, dataTransfer: transfer}));
        }""",
        [HOSTILE, list(files[0].read_bytes())],
    )
    tab.page.locator(".card.explained").wait_for()
    failed = tab.page.locator(".card.failed")
    failed.wait_for()
    assert "not an image" in failed.locator(".error").inner_text()
    assert tab.page.locator(".explained figcaption").inner_text() == HOSTILE
    assert HOSTILE in tab.page.locator(".explained img").get_attribute("alt")
    assert tab.page.locator("img[src=x]").count() == 0
    assert tab.fits()
    # The browser itself notes the refusal.
    assert all("400 (Bad Request)" in error for error in tab.errors)


def test_hostile_and_long_names_of_classes(open_page, files):
    names = [HOSTILE, "x" * 150, "1", "__proto__", *(f"class {i}" for i in range(40))]
    info = {"model": HOSTILE, "classes": names, "explain": True, "max_bytes": 10**6}
    shares = {name: 1 / (number + 2) for number, name in enumerate(names)}
    pixel = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
    result = {"valid": True, "predicted": names[:2], "probabilities": shares, "preview": pixel}
    answers = {
        "**/info": reply(info),
        "**/classify*": reply({"results": [result]}),
        "**/explain*": reply({"heat": [[0.0]], "view": [0, 0, 1, 1]}),
    }
    tab = open_page(width=390, answers=answers)
    tab.choose(files[:1], ".card.explained")
    card = tab.page.locator(".card")
    assert card.locator("h3").inner_text() == f"{HOSTILE}, {'x' * 150}"
    assert card.locator(".class:visible").count() == 5
    card.get_by_role("button", name="All 44 classes").click()
    assert card.locator(".class:visible .name").all_inner_texts() == names
    assert f"No place in the picture speaks for “{HOSTILE}”." in card.inner_text()
    assert tab.page.locator("img[src=x]").count() == 0
    assert tab.fits()
    assert tab.errors == []


def test_without_grad_cam_or_server(open_page, files):
    info = {"model": "m", "classes": ["a"], "explain": False, "max_bytes": 100}
    tab = open_page(answers={"**/info": reply(info)})
    tab.choose(files[:1], ".card.failed")
    assert "at most" in tab.page.locator(".card .error").inner_text()
    assert not any("classify" in url for url in tab.requests)

    gone = {"**/info": reply(info | {"max_bytes": 10**6}), "**/classify*": lambda r: r.abort()}
    tab = open_page(answers=gone)
    tab.choose(files[:1], ".card.failed")
    assert "cannot be reached" in tab.page.locator(".card .error").inner_text()

    tab = open_page(answers={"**/info": reply(info | {"max_bytes": 10**6})})
    tab.choose(files[:1], ".card:not(.waiting)")
    card = tab.page.locator(".card")
    assert card.locator("button.class").count() == 0
    assert not card.locator(".explain").is_visible()
    assert tab.errors == []
