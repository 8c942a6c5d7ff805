"""Make the picture in the README: headline and the two charts of a report, as a browser shows them.

    python scripts/picture_report.py demo-plan/report.html docs/images/report.png

Needs Chromium on the PATH. Nothing is drawn or changed: sections that do not fit into one picture are left out.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTH = 1200
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
ONLY_HEADLINE_AND_CHARTS = """
  footer, main > section:not(:first-child), .warnings, .lead, .what { display: none }
  h1 { max-width: none; font-size: 1.75rem }
  .tiles { margin-top: 1.5rem; gap: 1rem 2rem }
  main > section { margin-top: 2rem }
  body { padding-block: 1.5rem }
"""


def main(report: Path, picture: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": WIDTH, "height": 700}, color_scheme="light")
        page.goto(report.resolve().as_uri())
        page.add_style_tag(content=ONLY_HEADLINE_AND_CHARTS)
        page.wait_for_timeout(1000)
        page.screenshot(path=picture, full_page=True)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
