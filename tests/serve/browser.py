"""A headless Chromium, and what must hold of the page whatever service is behind it."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def missing() -> str | None:
    """Why there is no browser to test with; None: there is one."""
    absent = [name for name, path in (("chromium", CHROMIUM), ("chromedriver", DRIVER)) if path is None]
    return f"not installed: {', '.join(absent)}" if absent else None


@contextlib.contextmanager
def browser() -> Iterator[WebDriver]:
    """Chromium with a fresh profile, 1280 x 1000 pixels, its console kept."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=1280,1000"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        try:
            yield driver
        finally:
            driver.quit()


def check_page(
    driver: WebDriver, base_url: str, *, prefix: str, question: str, key: str | None = None, wait_s: float = 30.0
) -> None:
    """Asks the first user whose id begins with `prefix`, with the keyboard alone, and checks all that is shown.

    key: of the API, where the service wants one. The user must be known and have items, and no part of the service
    may be down. Raises AssertionError.
    """
    console(driver)
    open_page(driver, base_url, key, wait_s)
    user = pick_user(driver, prefix, wait_s)
    assert user.startswith(prefix)
    ask(driver, question, wait_s)
    assert text(driver, "#problem") == ""
    assert "Both are the same" in text(driver, ".promptfacts") or text(driver, "#plain .reply") != text(
        driver, "#personalised .reply"
    )
    assert user in text(driver, "#personalised header")
    places = numbers(driver, ".items .place")
    assert places == [float(i + 1) for i in range(len(places))] != []
    assert len(all_of(driver, ".slopes path")) == len(places)
    shown = all_of(driver, ".items tr.shown")
    assert 0 < len(shown) <= len(places)
    bm25 = numbers(driver, ".items td[data-label=BM25]")
    moves = [line.get_property("textContent") for line in all_of(driver, ".items .move")]
    if all("not moved" in move for move in moves):
        assert bm25 == sorted(bm25, reverse=True)
    assert len(numbers(driver, ".items td[data-label=Reranker]")) == len(places)
    assert len(all_of(driver, "#candidates tbody tr")) >= 1
    assert text(driver, "#candidates tr.chosen .text") == text(driver, "#personalised .reply")
    stages = [line.text for line in all_of(driver, "#cost tbody th")]
    assert {"Retrieve", "Rerank", "Language model", "Select", "In all"} <= set(stages)
    assert all(ms >= 0 for ms in numbers(driver, "#cost td.num"))
    assert text(driver, "#run") in text(driver, "#versions")
    assert not all_of(driver, "#degraded")
    assert text(driver, "#personalised .reply") in one(driver, "#status").get_property("textContent")
    complaints = [line for line in console(driver) if not (key and "401" in line)]
    assert not complaints, f"the browser complains: {complaints}"


def open_page(driver: WebDriver, base_url: str, key: str | None = None, wait_s: float = 30.0) -> None:
    """Opens the page, gives the key where one is asked for, and waits until it says what is served."""
    driver.get(base_url + "/")
    if key is not None:
        until(driver, wait_s, lambda: one(driver, "#key").is_displayed())
        one(driver, "#key").send_keys(key + Keys.ENTER)
    until(driver, wait_s, lambda: text(driver, "#run") != "")


def pick_user(driver: WebDriver, prefix: str, wait_s: float = 30.0) -> str:
    """Types the prefix, goes down to the first of the list and takes it: its id."""
    field = one(driver, "#user")
    field.clear()
    field.send_keys(prefix)
    # Between two letters there may have been time for a list of its own.
    until(driver, wait_s, lambda: [found.text for found in all_of(driver, "#user-0 b")] == [prefix])
    field.send_keys(Keys.ARROW_DOWN)
    active = field.get_attribute("aria-activedescendant")
    assert one(driver, f"#{active}").get_attribute("aria-selected") == "true"
    field.send_keys(Keys.ENTER)
    assert field.get_attribute("aria-expanded") == "false"
    until(driver, wait_s, lambda: text(driver, "#user-facts") != "")
    return str(field.get_property("value"))


def ask(driver: WebDriver, question: str, wait_s: float = 30.0) -> None:
    """Goes on to the question with Tab, writes it, asks with Enter, and waits for an answer or a problem."""
    driver.execute_script("document.querySelectorAll('#result > *, #problem > *').forEach((old) => old.remove())")
    one(driver, "#user").send_keys(Keys.TAB)
    field = driver.switch_to.active_element
    assert field.get_attribute("id") == "question"
    field.clear()
    field.send_keys(question + Keys.ENTER)
    until(driver, wait_s, lambda: bool(all_of(driver, "#result > *, #problem > *")))


def console(driver: WebDriver) -> list[str]:
    """What the browser's console holds since the last look: errors and refusals of the Content-Security-Policy."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def one(driver: WebDriver, selector: str) -> WebElement:
    return driver.find_element(By.CSS_SELECTOR, selector)


def all_of(driver: WebDriver, selector: str) -> list[WebElement]:
    return driver.find_elements(By.CSS_SELECTOR, selector)


def text(driver: WebDriver, selector: str) -> str:
    return one(driver, selector).text


def numbers(driver: WebDriver, selector: str) -> list[float]:
    """The numbers that the elements hold, as the page writes them."""
    written = [str(element.get_property("textContent")) for element in all_of(driver, selector)]
    return [float(line.replace("−", "-").replace(",", "").split()[0]) for line in written]


def until(driver: WebDriver, wait_s: float, condition: Callable[[], bool]) -> None:
    """Waits until the condition, a function without arguments, holds. Raises TimeoutException.

    What it has found may be drawn anew before it is read: then it looks again.
    """
    redrawn = [StaleElementReferenceException]
    WebDriverWait(driver, wait_s, poll_frequency=0.03, ignored_exceptions=redrawn).until(lambda _: condition())
