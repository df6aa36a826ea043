"""The page at `/`: its files and headers, its colours, and what it does in a headless Chromium."""

import pickle
import re
from collections.abc import Iterator
from typing import get_args

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from selenium.common.exceptions import JavascriptException
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from hydra_ray.inference.trace import Reason
from hydra_ray.serve.ui.router import FOLDER, TYPES, page_router
from tests.serve import browser as page
from tests.serve.canned_api import MARKUP, CannedApi, serving

QUESTION = "Frost on the reeds again."


@pytest.fixture(scope="module")
def driver() -> Iterator[WebDriver]:
    if why := page.missing():
        pytest.skip(why)
    with page.browser() as made:
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[CannedApi, str]]:
    api = CannedApi()
    with serving(api.app) as base_url:
        yield api, base_url


@pytest.fixture
def api(server: tuple[CannedApi, str]) -> Iterator[CannedApi]:
    made, _ = server
    made.key, made.error, made.requests = None, None, []
    yield made
    made.held.clear()


@pytest.fixture
def url(server: tuple[CannedApi, str], driver: WebDriver) -> str:
    driver.set_window_size(1280, 1000)
    return server[1]


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    app.include_router(page_router())
    return TestClient(app)


def test_files_come_with_a_strict_policy_and_are_cached(client: TestClient) -> None:
    for path in ("/", *(f"/page/{file.name}" for file in FOLDER.iterdir() if file.suffix in set(TYPES) - {".html"})):
        first = client.get(path)
        assert first.status_code == 200, path
        policy = first.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert first.headers["x-content-type-options"] == "nosniff"
        assert first.headers["cache-control"] == "no-cache"
        known = {"If-None-Match": f'"other", W/{first.headers["etag"]}'}
        again = client.get(path, headers=known)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["content-security-policy"] == policy
        assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
        assert client.head(path).headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("name", ["router.py", "__init__.py", "index.html", "..%2Frouter.py", "none.js"])
def test_nothing_else_is_served(client: TestClient, name: str) -> None:
    assert client.get(f"/page/{name}").status_code == 404


def test_the_router_pickles_and_is_not_in_the_api_document(client: TestClient) -> None:
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    app = FastAPI()
    app.include_router(pickle.loads(cloudpickle.dumps(page_router())))
    assert TestClient(app).get("/").text == client.get("/").text
    assert app.openapi()["paths"] == {}


def test_every_reason_is_worded() -> None:
    worded = (FOLDER / "answer.js").read_text().split("const REASONS = {")[1].split("};")[0]
    assert re.findall(r"^  (\w+):", worded, re.MULTILINE) == list(get_args(Reason))


def test_nothing_comes_from_elsewhere_and_nothing_is_set_as_markup() -> None:
    for file in FOLDER.iterdir():
        if file.suffix not in TYPES:
            continue
        source = file.read_text()
        assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)[^\s\"']*", source) == [], file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|\bon\w+=\"", source)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_the_contrast_of_wcag_aa(scheme: str) -> None:
    rules = (FOLDER / "page.css").read_text().split("@media (prefers-color-scheme: dark)")
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", rules[("light", "dark").index(scheme)]))
    texts = [(ink, on) for ink in ("ink", "muted", "accent") for on in ("paper", "panel", "tint")]
    texts += [("on-accent", "accent"), ("warn", "warn-tint"), ("bad", "bad-tint")]
    texts += [(ink, on) for ink in ("ink", "muted") for on in ("warn-tint", "bad-tint")]
    weak = {pair for pair in texts if _contrast(colours[pair[0]], colours[pair[1]]) < 4.5}
    weak |= {("edge", on) for on in ("paper", "panel") if _contrast(colours["edge"], colours[on]) < 3}
    assert weak == set()


@pytest.mark.cluster
def test_an_answer_with_the_keyboard_alone(driver: WebDriver, api: CannedApi, url: str) -> None:
    page.check_page(driver, url, prefix="u04", question=QUESTION)
    assert api.requests == [
        {"user_id": "u040", "task": "synthetic_tagging", "query": QUESTION, "options": {"plain": True}}
    ]
    assert (page.text(driver, "#plain .reply"), page.text(driver, "#personalised .reply")) == ("birch", "ember")
    moves = [line.get_property("textContent") for line in page.all_of(driver, ".items .move")]
    assert [line.split()[1:] for line in moves][:2] == [["3up", "3"], ["1down", "1"]]
    assert "The reranker moved 10 of 10. 4 items of 10 went into the prompt" in page.text(driver, "#retrieved")
    assert driver.switch_to.active_element.get_attribute("id") == "question"


@pytest.mark.cluster
def test_lines_end_where_the_rows_are(driver: WebDriver, api: CannedApi, url: str) -> None:
    page.open_page(driver, url)
    page.pick_user(driver, "u001")
    page.ask(driver, QUESTION)
    for width in (1280, 400):
        driver.set_window_size(width, 1000)
        page.until(driver, 3, lambda: max(_gaps(driver)) < 1)


@pytest.mark.cluster
def test_markup_in_a_users_texts_stays_text(driver: WebDriver, api: CannedApi, url: str) -> None:
    page.open_page(driver, url)
    title = driver.title
    page.pick_user(driver, "hostile")
    page.ask(driver, MARKUP)
    for place in ("#plain .reply", "#personalised .reply", ".items .text", ".items .own", "#candidates .text"):
        assert page.text(driver, place) == MARKUP
    assert driver.title == title
    assert page.all_of(driver, "main img, main script") == []
    assert page.console(driver) == []
    with pytest.raises(JavascriptException, match="TrustedHTML"):
        driver.execute_script("document.body.innerHTML = 'x'")


@pytest.mark.cluster
def test_nothing_is_wider_than_the_window(driver: WebDriver, api: CannedApi, url: str) -> None:
    page.open_page(driver, url)
    for user in ("u000", "long", "empty"):
        page.pick_user(driver, user)
        page.ask(driver, QUESTION)
        for width in (1280, 700, 360):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            over = driver.execute_script("return document.documentElement.scrollWidth - innerWidth")
            assert over <= 0, f"{user}: {over} pixels too wide at {width}"
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.cluster
def test_a_long_record_is_folded_and_unfolds(driver: WebDriver, api: CannedApi, url: str) -> None:
    page.open_page(driver, url)
    page.pick_user(driver, "long")
    page.ask(driver, QUESTION)
    row, more = page.one(driver, ".items tr.shown"), page.one(driver, ".items button.link")
    before = row.size["height"]
    more.send_keys(Keys.ENTER)
    assert more.get_attribute("aria-expanded") == "true"
    assert row.size["height"] > 2 * before
    page.until(driver, 3, lambda: max(_gaps(driver)) < 1)


@pytest.mark.cluster
def test_a_user_without_records(driver: WebDriver, api: CannedApi, url: str) -> None:
    page.open_page(driver, url)
    page.pick_user(driver, "empty")
    page.ask(driver, QUESTION)
    assert "Nothing was retrieved. The user has no items." in page.text(driver, "#retrieved")
    assert "Both are the same" in page.text(driver, "#answers")


@pytest.mark.cluster
def test_degradation_is_shown(driver: WebDriver, api: CannedApi, url: str) -> None:
    page.open_page(driver, url)
    page.pick_user(driver, "lonely")
    page.ask(driver, QUESTION)
    message = page.text(driver, "#degraded")
    assert "The reranker did not run" in message
    assert "The adapter did not run" in message
    assert "BM25’s order" in page.text(driver, "#retrieved")
    assert {cell.text for cell in page.all_of(driver, "#candidates td:nth-child(3)")} == {"–"}
    assert "Degraded" in page.one(driver, "#status").get_property("textContent")


@pytest.mark.cluster
def test_errors_are_shown_and_can_be_tried_again(driver: WebDriver, api: CannedApi, url: str) -> None:
    page.open_page(driver, url)
    page.pick_user(driver, "u001")
    for error, message in (
        ((429, "no room", {"Retry-After": "2"}), "The service is at its limit\nNo room.\nTry again in 2 seconds."),
        ((503, "The language model does not answer: gone", {}), "The language model does not answer\nGone."),
        ((504, "past its deadline", {}), "It took too long\nPast its deadline."),
        ((500, MARKUP, {}), f"The service failed\n{MARKUP}"),
    ):
        api.error = error
        page.ask(driver, QUESTION)
        assert page.text(driver, "#problem[role=alert]") == f"{message}\nTry again"
        api.error = None
        page.one(driver, "#problem button").send_keys(Keys.ENTER)
        page.until(driver, 5, lambda: bool(page.all_of(driver, "#personalised")))
        assert page.all_of(driver, "#problem > *") == []


@pytest.mark.cluster
def test_what_is_missing_is_asked_for(driver: WebDriver, api: CannedApi, url: str) -> None:
    page.open_page(driver, url)
    page.one(driver, "#question").send_keys(QUESTION + Keys.ENTER)
    assert page.text(driver, "#problem") == "Choose a user first"
    assert driver.switch_to.active_element.get_attribute("id") == "user"
    page.pick_user(driver, "u001")
    page.one(driver, "#question").clear()
    page.one(driver, "#question").send_keys(Keys.ENTER)
    assert page.text(driver, "#problem") == "Write a question first"
    assert api.requests == []


@pytest.mark.cluster
def test_a_key_is_asked_for_and_kept_in_the_tab_only(driver: WebDriver, api: CannedApi, url: str) -> None:
    api.key = "s3cret"
    driver.get(url)
    page.until(driver, 5, lambda: page.one(driver, "#key").is_displayed())
    page.one(driver, "#key").send_keys("wrong" + Keys.ENTER)
    page.until(driver, 5, lambda: "does not know this key" in page.text(driver, "#problem"))
    page.one(driver, "#key").send_keys(api.key + Keys.ENTER)
    page.until(driver, 5, lambda: page.text(driver, "#run") == "quickstart")
    assert not page.one(driver, "#key").is_displayed()
    kept = "return [JSON.stringify(localStorage), document.cookie, location.href, document.body.outerHTML].join()"
    assert api.key not in driver.execute_script(kept)
    driver.refresh()
    page.until(driver, 5, lambda: page.text(driver, "#run") == "quickstart")
    page.one(driver, "#forget-key").send_keys(Keys.ENTER)
    page.until(driver, 5, lambda: page.one(driver, "#key").is_displayed())
    assert "s3cret" not in driver.execute_script("return JSON.stringify(sessionStorage)")


@pytest.mark.cluster
def test_the_list_of_users(driver: WebDriver, api: CannedApi, url: str) -> None:
    page.open_page(driver, url)
    field = page.one(driver, "#user")
    field.send_keys(Keys.ARROW_UP)  # opens it at its end
    page.until(driver, 5, lambda: field.get_attribute("aria-activedescendant") == "user-49")
    assert page.text(driver, "#user-note") == "The first 50. Type to narrow them down."
    field.send_keys(Keys.ARROW_DOWN)  # past the end: back in the field
    assert field.get_attribute("aria-activedescendant") is None
    field.send_keys("u01")
    page.until(driver, 5, lambda: len(page.all_of(driver, "[role=option]")) == 10)
    field.send_keys(Keys.ESCAPE)
    assert not page.one(driver, "#user-popup").is_displayed()
    assert field.get_property("value") == "u01"
    field.send_keys(Keys.ARROW_DOWN)
    page.until(driver, 5, lambda: field.get_attribute("aria-expanded") == "true")
    page.all_of(driver, "[role=option]")[3].click()
    assert field.get_property("value") == "u013"
    page.until(driver, 5, lambda: "16 items" in page.text(driver, "#user-facts"))
    field.send_keys("9")
    page.until(driver, 5, lambda: "begins so" in page.text(driver, "#user-note"))
    field.send_keys(Keys.TAB)
    page.until(driver, 5, lambda: "There is no user of this id" in page.text(driver, "#user-facts"))


@pytest.mark.cluster
def test_a_slow_answer_can_be_cancelled(driver: WebDriver, api: CannedApi, url: str) -> None:
    page.open_page(driver, url)
    page.pick_user(driver, "u001")
    api.held.set()
    page.one(driver, "#question").send_keys(QUESTION + Keys.ENTER)
    page.until(driver, 5, lambda: page.one(driver, "#cancel").is_displayed())
    page.one(driver, "#question").send_keys(Keys.ENTER)  # asks nothing while one is being answered
    page.one(driver, "#cancel").send_keys(Keys.ENTER)
    page.until(driver, 5, lambda: page.text(driver, "#ask") == "Ask")
    api.held.clear()
    assert page.all_of(driver, "#result > *, #problem > *") == []
    assert len(api.requests) == 1


@pytest.mark.cluster
def test_a_record_is_added_and_the_heads_are_fitted(driver: WebDriver, api: CannedApi, url: str) -> None:
    page.open_page(driver, url)
    page.pick_user(driver, "u005")
    page.one(driver, "#person summary").send_keys(Keys.ENTER)
    page.one(driver, "#item-text").send_keys(QUESTION)
    page.one(driver, "#item-answer").send_keys("ember" + Keys.ENTER)
    page.until(driver, 5, lambda: "9 items" in page.text(driver, "#user-facts"))
    assert "newer items" in page.text(driver, "#fit-facts")
    page.one(driver, "#fit").send_keys(Keys.ENTER)
    page.until(driver, 5, lambda: "being fitted" in page.text(driver, "#fit-facts"))
    page.until(driver, 5, lambda: "fitted here" in page.text(driver, "#fit-facts"))
    assert "fitted here" in page.one(driver, "#status").get_property("textContent")


@pytest.mark.cluster
def test_a_visitor_who_knows_no_user_may_click(driver: WebDriver, api: CannedApi, url: str) -> None:
    page.open_page(driver, url)
    page.until(driver, 5, lambda: len(page.all_of(driver, "#example-users button")) == 4)
    assert "birch, dune, ember, heron, indigo, lotus" in page.text(driver, "#labels")
    page.all_of(driver, "#example-users button")[3].click()
    page.until(driver, 5, lambda: page.text(driver, "#user-facts") != "")
    page.until(driver, 5, lambda: bool(page.all_of(driver, "#example-question button")))
    page.one(driver, "#example-question button").click()
    page.one(driver, "#ask").click()
    page.until(driver, 5, lambda: bool(page.all_of(driver, "#personalised")))
    assert [asked["user_id"] for asked in api.requests] == ["u000"]
    page.one(driver, "#prompt summary").send_keys(Keys.ENTER)
    assert "Clara took a blanket" in page.text(driver, "#prompt pre")
    page.one(driver, "#words summary").send_keys(Keys.ENTER)
    for word in ("BM25", "Reranker", "Adapter", "Head"):
        assert word in page.text(driver, "#words")


@pytest.mark.cluster
def test_a_user_is_exported_and_deleted_after_a_second_thought(driver: WebDriver, api: CannedApi, url: str) -> None:
    page.console(driver)  # what other tests provoked
    page.open_page(driver, url)
    page.pick_user(driver, "u119")
    page.one(driver, "#person summary").send_keys(Keys.ENTER)
    page.one(driver, "#export").send_keys(Keys.ENTER)
    page.until(driver, 5, lambda: page.one(driver, "#status").get_property("textContent") == "Exported")
    assert api.exported == ["u119"]
    page.one(driver, "#delete").send_keys(Keys.ENTER)
    assert "Delete u119 with 122 items" in page.text(driver, "#confirm-delete")
    page.one(driver, "#keep").send_keys(Keys.ENTER)
    assert "u119" in api.users
    page.one(driver, "#delete").send_keys(Keys.ENTER)
    page.one(driver, "#delete-now").send_keys(Keys.ENTER)
    page.until(driver, 5, lambda: "u119" not in api.users)
    page.until(driver, 5, lambda: page.one(driver, "#user").get_property("value") == "")
    assert page.console(driver) == []


def test_what_is_shown_of_fitted_heads_leaves_room_for_the_shared_ones() -> None:
    source = (FOLDER / "person.js").read_text()
    for fit in ("imported", "done"):
        (words,) = re.findall(rf'^  {fit}: "(.*)",$', source, re.MULTILINE)
        assert "where they beat the shared ones" in words


def _gaps(driver: WebDriver) -> list[float]:
    """How far each line's end is from the middle of its row, in pixels."""
    script = """
      const svg = document.querySelector(".slopes").getBoundingClientRect();
      const ends = [...document.querySelectorAll(".slopes path")].map((path) => path.getPointAtLength(1e9).y + svg.top);
      return [...document.querySelectorAll(".items tbody tr")].map((row, i) => {
        const box = row.getBoundingClientRect();
        return Math.abs(box.top + box.height / 2 - ends[i]);
      });
    """
    # A line that is not drawn yet ends nowhere.
    return [float("inf") if gap is None else float(gap) for gap in driver.execute_script(script)]


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, "contrast ratio" of two colours in #rrggbb."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    """WCAG 2.2, "relative luminance"."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
