"""Takes the picture of the page: `python -m docs.images.page URL OUT.png [USER QUESTION]` of a running service.

Needs Debian's `chromium` and `chromium-driver`, as the page's tests do.
"""

import sys
from pathlib import Path

from selenium.webdriver.common.by import By

from tests.serve.browser import ask, browser, open_page, pick_user

USER = "u00000047"
QUESTION = (
    "Clara took a ribbon to the castle. An express stopped at our platform. Lunch was grilled trout. Wind tore at our "
    "coats. What a cheerful day."
)
"""Of the quickstart: one of its test users, and that user's question."""
WIDTH, HEIGHT = 1200, 1130
WAIT_S = 60.0


def take(url: str, out: Path, user: str = USER, question: str = QUESTION) -> None:
    """Asks as a visitor would, and keeps the top of the page with the answers and what was retrieved."""
    with browser() as driver:
        open_page(driver, url, wait_s=WAIT_S)
        pick_user(driver, user, WAIT_S)
        ask(driver, question, WAIT_S)
        driver.set_window_size(WIDTH, HEIGHT)
        driver.execute_script("document.documentElement.style.overflow = 'hidden'")
        driver.find_element(By.CSS_SELECTOR, "#personalised")  # there is an answer, not a problem
        driver.save_screenshot(str(out))


if __name__ == "__main__":
    take(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:5])
