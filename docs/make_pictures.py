"""Draw the pictures of the README and of the guide into docs/_static: python docs/make_pictures.py.

The data are functions of the standard library of the running Python, with noisy simulated labels:
those of ``load_stdlib_code``. Needs matplotlib, and chromium for the picture of the page.
"""

import json
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

from sklearn_codex.datasets import load_stdlib_code
from sklearn_codex.report._audit_run import finite, render
from sklearn_codex.report._audit_sections import audit_sections
from sklearn_codex.report._blocks import Chart
from sklearn_codex.report._svg import line_chart
from sklearn_codex.report.audit import compute_audit

DOCS = Path(__file__).parent
STATIC = DOCS / "_static"
N_MODULES, TEMPERATURE = 10, 3.0
CHARTS = {
    "Learning curve": "audit_learning_curve.svg",
    "Calibration": "audit_calibration.svg",
    "Gold against proxy": "audit_gold.svg",
    "The KL-reward frontier": "audit_frontier.svg",
}
# The colours of the page, which are variables there, for a picture that stands alone.
STYLE = """
  text { font: 15px sans-serif; fill: #57606a; } text.label { fill: #1b1f24; }
  .grid { stroke: #d5dbe1; } .mark { stroke: #1b1f24; stroke-dasharray: 2 4; stroke-width: 1.5; }
  .line { fill: none; stroke-width: 2.5; stroke-linejoin: round; } .band { opacity: .18; }
  .line.s0 { stroke: #0072b2; } .line.s1 { stroke: #c35000; }
  .hover { fill: none; }
  .band.s0, .dot.s0 { fill: #0072b2; } .band.s1, .dot.s1 { fill: #c35000; }
"""
SIZE = 800, 780


def audit():
    """Return the audit of the simulated preferences on real code."""
    data = load_stdlib_code(n_modules=N_MODULES, temperature=TEMPERATURE)
    records = [row for row in data.records if "chosen" in row]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stdlib.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in records), encoding="utf-8")
        return finite(compute_audit(path))


def draw_charts(sections):
    """Write each chart of the page as a picture of its own."""
    charts = [b for section in sections for b in section.blocks if isinstance(b, Chart)]
    for chart in charts:
        name = next(name for title, name in CHARTS.items() if chart.title.startswith(title))
        svg = line_chart(chart).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
        start = svg.index("<title>")
        inside = f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#ffffff"/>'
        picture = svg[:start] + inside + svg[start:]
        (STATIC / name).write_text(picture + "\n", encoding="utf-8")


def draw_page(html):
    """Write what a browser shows of the page at first: the answers."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("make_pictures.py needs chromium for the picture of the page.")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(html, encoding="utf-8")
        subprocess.run(
            [
                chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                f"--user-data-dir={folder}/profile", "--blink-settings=preferredColorScheme=1",
                f"--window-size={SIZE[0]},{SIZE[1]}", f"--screenshot={STATIC / 'report.png'}",
                page.as_uri(),
            ],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip


def draw_frontier():
    """Write the figure of the example on the frontier."""
    matplotlib.use("agg")
    plt.show = lambda: None
    runpy.run_path(str(DOCS.parent / "examples" / "policies" / "plot_kl_reward_frontier.py"))
    plt.gcf().savefig(STATIC / "frontier.png", dpi=125)


if __name__ == "__main__":
    figures = audit()
    draw_charts(audit_sections(figures))
    draw_page(render(figures))
    draw_frontier()
    for picture in sorted([*STATIC.glob("*.png"), *STATIC.glob("*.svg")]):
        size = picture.stat().st_size / 1000
        sys.stdout.write(f"{size:6.0f} kB  {picture.relative_to(DOCS.parent)}\n")
