"""The audit of preference data: its figures, its page and what it says of little data."""

import csv
import io
import json
import re
import shutil
import subprocess
from contextlib import redirect_stdout
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils import Bunch

from sklearn_codex._plain import plain
from sklearn_codex.cli import main
from sklearn_codex.metrics import preference_auc
from sklearn_codex.report import _audit_policy
from sklearn_codex.report._audit_predict import ranked_auc
from sklearn_codex.report._audit_run import finite, render, run_audit
from sklearn_codex.report._audit_sections import audit_sections
from sklearn_codex.report._audit_sections_policy import _gold_answer
from sklearn_codex.report._blocks import (
    Chart,
    Examples,
    Findings,
    Note,
    Section,
    Series,
    TableBlock,
)
from sklearn_codex.report._html import page, text
from sklearn_codex.report._svg import line_chart
from sklearn_codex.report.audit import STEPS, compute_audit

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
NASTY = (
    "<script>alert('x')</script><img src=http://evil.test/x onerror=alert(1)> & \x1b[31m\x00\u202e"
)
VOID = {"meta", "br", "img", "link", "hr", "input"}


def make_rows(n_prompts=40, n_each=4, *, nasty=False):
    """Preferences for the word "good", against "bad", and for nothing else."""
    rng = np.random.RandomState(0)
    words = np.array(["alpha", "beta", "gamma", "delta", "zeta", "eta", "theta", "iota", "kappa"])
    rows = []
    for prompt in range(n_prompts):
        for _ in range(n_each):
            good, bad = (
                " ".join([*rng.choice(words, 12), *[word] * rng.randint(1, 4)])
                for word in ("good", "bad")
            )
            if rng.uniform() < 0.1:
                good, bad = bad, good
            if nasty:
                good, bad = f"{good} {NASTY}", f"{bad} {NASTY}"
            rows.append(
                {
                    "prompt": f"{'<i>' if nasty else ''}question {prompt} {words[prompt % 9]}",
                    "chosen": good,
                    "rejected": bad,
                    "votes": [1, 1, int(rng.uniform() < 0.8)],
                    "task": f"task {prompt // 2}",
                }
            )
    return rows


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def audit():
    return finite(compute_audit(make_rows()))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Run the command on responses full of markup; return its folder, with what it printed."""
    folder = tmp_path_factory.mktemp("audit")
    prefs = write_rows(folder / "<b>prefs.jsonl", make_rows(nasty=True))
    printed = io.StringIO()
    with redirect_stdout(printed):
        words = ["audit", str(prefs), "--out", str(folder / "out"), "--no-progress", "--full"]
        assert main(words) == 0
    (folder / "printed.txt").write_text(printed.getvalue(), encoding="utf-8")
    return folder / "out"


class Reader(HTMLParser):
    """Checks that elements nest, and notes what a page holds."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links, self.ids, self.words = [], set(), [], set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src", "action")]
        self.ids |= {value for name, value in attrs if name == "id"}
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read_page(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def test_audit_finds_what_was_put_into_the_data(audit):
    assert audit["sizes"]["n_pairs"] == 160
    models = audit["prediction"]["models"]
    for name in ("words", "preset"):
        figure = models[name]["accuracy"]
        assert figure["low"] <= figure["value"] <= figure["high"]
        assert figure["value"] == pytest.approx(0.9, abs=0.06)
    assert models["length only"]["accuracy"]["high"] < models["words"]["accuracy"]["low"]
    assert models["words"]["log_loss"]["value"] < np.log(2)
    assert audit["tokens"]["for"][0]["name"] == "good"
    assert audit["tokens"]["against"][0]["name"] == "bad"
    assert audit["tokens"]["for"][0]["low"] > 0
    risen = [row["token"] for row in audit["policy"]["budgets"][0]["risen"]]
    fallen = [row["token"] for row in audit["policy"]["budgets"][0]["fallen"]]
    assert (risen[0], fallen[0]) == ("good", "bad")


def test_audit_frontier_rises_and_gold_stays_below_proxy(audit):
    frontier, gold = audit["policy"]["frontier"], audit["policy"]["gold"]
    assert np.all(np.diff(frontier["kl"]) > 0)
    assert np.all(np.diff(frontier["gain"]) > 0)
    assert min(frontier["gain"]) > 0
    assert np.all(np.array(gold["gold"])[5:30] < gold["proxy"][5:30])
    assert audit["policy"]["safe_kl_coef"] > 0


@pytest.mark.parametrize(
    ("gold_of_kl", "falls", "peak_kl"),
    [
        (lambda kl: np.sqrt(kl), False, 16.0),
        # A gain that stays, but for rounding, does not fall.
        (lambda kl: np.minimum(kl, 2.0) - 1e-15 * (kl > 2.0) * np.arange(len(kl)), False, 16.0),
        (lambda kl: kl * (8.0 - kl), True, 4.0),
        (lambda kl: -kl, True, 0.01),
    ],
    ids=["rises", "stays", "falls", "falls from the start"],
)
def test_gold_is_said_to_fall_where_it_does(gold_of_kl, falls, peak_kl, monkeypatch):
    kl = np.geomspace(0.01, 16.0, 300)
    gold = gold_of_kl(kl)
    curve = Bunch(kl=kl, gold_reward=gold, proxy_reward=kl, peak=Bunch(kl=kl[np.argmax(gold)]))
    monkeypatch.setattr(_audit_policy, "overoptimization_curve", lambda *args, **options: curve)
    found = _audit_policy.gold_against_proxy(
        Bunch(n_groups=20, seed=0), np.arange(2.0), [("one half", "the other")], reference=None
    )
    assert found["is_interior"] is found["is_cautious_interior"] is falls
    assert found["peak_kl"] == found["cautious_kl"] == pytest.approx(peak_kl, rel=0.1)
    if found["cautious_gold"] > 0:
        answer = _gold_answer(found)
        assert ("Not beyond" in answer) == falls
        assert ("up to 16 nats a document, the farthest looked at" in answer) == (not falls)


def test_area_by_ranks_is_that_of_the_metric():
    rng = np.random.RandomState(0)
    y, margin = rng.choice([0.0, 0.3, 0.5, 1.0], 200), rng.randint(-5, 6, 200) / 2
    weight = rng.randint(0, 4, 200)
    rank = np.unique(margin, return_inverse=True)[1]
    assert ranked_auc(y, rank, weight) == pytest.approx(
        preference_auc(y, margin, sample_weight=weight), abs=1e-12
    )
    assert np.isnan(ranked_auc(np.ones(3), np.arange(3), np.ones(3)))


def test_findings_to_look_at_show_their_worst_rows():
    rows = make_rows()
    rows[7]["rejected"] = rows[7]["chosen"]
    audit = finite(compute_audit(rows))
    (found,) = (f for f in audit["health"] if "two identical responses" in f["text"])
    assert [row["row"] for row in found["worst"]] == [7]
    assert found["worst"][0]["chosen"] == found["worst"][0]["rejected"] == rows[7]["chosen"]
    (shown,) = (b for b in audit_sections(audit)[0].blocks if getattr(b, "items", [])
                and isinstance(b, Examples))  # fmt: skip
    assert "Record 7: 1 pair" in shown.items[0][0]


def test_audit_knows_the_human_ceiling(audit):
    ceiling = audit["human_ceiling"]
    assert ceiling["column"] == "votes"
    assert 0.7 < ceiling["agreement"] < 1.0


def test_audit_names_uncompared_pairs_and_unlikely_labels(audit):
    assert audit["pairs_to_label"]["are_new"]
    rows = audit["pairs_to_label"]["rows"]
    compared = {frozenset((row["chosen"], row["rejected"])) for row in make_rows()}
    prompt_of = {row[side]: row["prompt"] for row in make_rows() for side in ("chosen", "rejected")}
    for row in rows:
        a, b = row["response_a"], row["response_b"]
        assert frozenset((a, b)) not in compared
        assert prompt_of[a] == prompt_of[b] == row["prompt"]
    assert len({frozenset((row["response_a"], row["response_b"])) for row in rows}) == len(rows)
    assert rows[0]["information"] == max(row["information"] for row in rows)
    labels = audit["labels_to_check"]["rows"]
    assert [row["p_wrong"] for row in labels] == sorted(
        (row["p_wrong"] for row in labels), reverse=True
    )


def test_audit_is_json_and_repeats_itself(audit):
    json.dumps(audit, allow_nan=False)
    seen = []
    assert finite(compute_audit(make_rows(), step=seen.append)) == audit
    assert tuple(seen) == STEPS


def test_groups_are_kept_together_and_a_reference_is_what_a_policy_starts_from(audit):
    reference = ["good alpha beta", "good gamma"]
    other = compute_audit(make_rows(), groups="task", reference=reference)
    assert other["sizes"]["n_groups"] == 20 < audit["sizes"]["n_groups"]
    assert other["learning_curve"] is None
    assert other["policy"]["length"] == 2 < audit["policy"]["length"]
    assert other["policy"]["safe_kl_coef"] != audit["policy"]["safe_kl_coef"]


@pytest.mark.parametrize("n_prompts", [1, 3])
def test_too_little_data_is_said_and_not_modelled(n_prompts):
    audit = compute_audit(make_rows(n_prompts, 4))
    assert "too few" in audit["too_small"]
    assert audit["prediction"] is None
    assert audit["policy"] is None
    read_page(render(finite(audit)))


def test_data_of_ties_alone_have_no_answer():
    rows = [
        {"prompt": f"p{i}", "response_a": "a b", "response_b": "c", "label": 0.5} for i in range(60)
    ]
    audit = finite(compute_audit(rows))
    assert audit["length"] is None
    assert "All pairs are ties" in render(audit)


def test_labels_by_coin_are_not_called_predictable():
    rng = np.random.RandomState(1)
    rows = make_rows(60, 3)
    for row in rows:
        if rng.uniform() < 0.5:
            row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
        row["chosen"] = row["chosen"].replace("good", "so").replace("bad", "so")
        row["rejected"] = row["rejected"].replace("good", "so").replace("bad", "so")
    sections = audit_sections(finite(compute_audit(rows)))
    assert sections[1].answer.startswith("Not shown: the best of these models")


def test_what_is_length_and_what_is_not_is_told_apart(audit):
    assert audit_sections(audit)[2].answer.startswith("Not only, but length is part of it: the ")
    rng = np.random.RandomState(0)
    rows = make_rows(50, 3)
    for row in rows:
        n = rng.randint(3, 30, 2)
        row["chosen"], row["rejected"] = ("so " * k for k in (n.max() + 1, n.min()))
    answers = [audit_sections(finite(compute_audit(rows)))[2].answer]
    for row in rows:
        row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
    answers.append(audit_sections(finite(compute_audit(rows)))[2].answer)
    for answer, which in zip(answers, ("longer", "shorter"), strict=True):
        assert answer.startswith(f"It may be: the {which} response wins 100 %")


def test_what_is_certain_of_a_list_is_beyond_chance_as_a_whole(audit):
    for name in ("form", "tokens"):
        figures = audit[name]
        rows = figures["for"] + figures["against"]
        assert all(row["p_value"] < 0.05 for row in rows if row["is_certain"])
        assert sum(row["is_certain"] for row in rows) <= figures["n_certain"] <= figures["n_sure"]
        assert figures["p_value"] <= min(row["p_value"] for row in rows)
    certain = [row["name"] for row in audit["tokens"]["for"] if row["is_certain"]]
    assert certain == ["good"]


def test_every_figure_says_what_it_means(audit):
    for section in audit_sections(audit):
        assert section.answer
        assert section.word
        assert section.line
        for block in section.blocks:
            assert block.text if isinstance(block, Note) else block.meaning


def test_page_is_whole_and_asks_for_nothing(written):
    html = (written / "report.html").read_text(encoding="utf-8")
    reader = read_page(html)
    assert {"svg", "table", "details", "nav"} <= reader.tags
    assert reader.tags.isdisjoint({"img", "link", "iframe", "object"})
    lists = {path.name for path in written.glob("*.csv")}
    assert lists
    assert lists <= set(reader.links)
    assert all(
        (link.startswith("#") and link[1:] in reader.ids) or link in lists for link in reader.links
    )
    assert "@import" not in html
    assert "url(" not in html
    assert "default-src 'none'" in html


def test_markup_and_controls_in_responses_show_as_text(written):
    html = (written / "report.html").read_text(encoding="utf-8")
    shown = "".join(read_page(html).words)
    assert "<script>alert('x')</script>" in shown
    assert "<b>prefs.jsonl" in shown
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", html)
    assert "␛[31m␀[U+202E]" in shown


def test_command_writes_the_lists(written):
    assert {path.name for path in written.iterdir()} == {
        "made_by_audit.json", "report.html", "audit.json",
        "labels_to_check.csv", "pairs_to_label.csv",
    }  # fmt: skip
    figures = json.loads((written / "audit.json").read_text(encoding="utf-8"))
    with open(written / "labels_to_check.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["where"] for row in rows] == [
        row["where"] for row in figures["labels_to_check"]["rows"]
    ]


def test_command_answers_in_the_terminal(written):
    printed = (written.parent / "printed.txt").read_text(encoding="utf-8")
    positions = [
        printed.index(question)
        for question in (
            "Is it clean?",
            "Is it predictable on prompts never seen?",
            "Is it only length?",
            "What is preferred?",
            "What would a policy learn?",
            "Which labels to check, which pairs to label next?",
            "How sure are these answers?",
        )
    ]
    assert positions == sorted(positions)
    assert "\x1b[31m" not in printed
    assert "\x00" not in printed


def test_command_prints_json_alone_and_reads_standard_input(tmp_path, capsys, monkeypatch):
    prefs = write_rows(tmp_path / "prefs.jsonl", make_rows(3, 3))
    monkeypatch.chdir(tmp_path)
    with open(prefs, "rb") as file:
        monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": file}))
        assert main(["audit", "-", "--json", "--no-progress"]) == 0
    assert json.loads(capsys.readouterr().out)["source"] == "standard input"
    assert [path.name for path in tmp_path.iterdir()] == ["prefs.jsonl"]


def test_report_is_written_although_its_reader_leaves(tmp_path, monkeypatch):
    def leave(*_):
        raise BrokenPipeError("the reader has left")

    monkeypatch.setattr("sklearn_codex.report._audit_run.print_short", leave)
    path = write_rows(tmp_path / "prefs.jsonl", make_rows(3, 3))
    with pytest.raises(BrokenPipeError, match="the reader has left"):
        run_audit(path, out=tmp_path / "out", progress=False)
    assert (tmp_path / "out" / "report.html").exists()


def test_command_leaves_an_existing_folder_alone(tmp_path, capsys):
    prefs = write_rows(tmp_path / "prefs.jsonl", make_rows(3, 3))
    words = ["audit", str(prefs), "--out", str(tmp_path), "--no-progress"]
    assert main(words) == 1
    assert "--force" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()
    assert main([*words, "--force"]) == 0
    assert (tmp_path / "report.html").exists()
    capsys.readouterr()


def test_command_says_in_one_line_what_is_wrong(tmp_path, capsys):
    assert main(["audit", str(tmp_path / "none.jsonl"), "--no-progress"]) == 1
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "p"}\n')
    assert main(["audit", str(bad), "--no-progress", "--out", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "none.jsonl" in lines[0]
    assert "has no preference" in lines[1]


def test_text_shows_controls_and_shortens():
    assert text("<b>&\"'") == "&lt;b&gt;&amp;&quot;&#x27;"
    assert text("a" * 50, limit=10).startswith("aaaaaaaaaa … (40 more")
    assert text("a\x07\u2066b\ud800") == "a␇[U+2066]b[U+D800]"
    assert text("a\r\nb\tc") == "a\nb\tc"
    assert plain("a\n \x1bb") == "a ␛b"


@pytest.mark.parametrize("log_x", [False, True])
@pytest.mark.parametrize("ys", [[1.0, 2.0, 3.0], [5.0, 5.0, 5.0], [-1e-9, 0.0, 1e-9]])
def test_charts_stay_in_their_frame(log_x, ys):
    series = Series("<line>", [0.1, 1.0, 30.0], ys, [y - 1 for y in ys], [y + 1 for y in ys])
    chart = Chart(
        "a < b", "x & y", "y", [series], "Means <this>.", TableBlock((), []), log_x=log_x,
        marks=[(2.0, "here")],
    )  # fmt: skip
    svg = line_chart(chart)
    read_page(svg)
    for points in re.findall(r'points="([^"]+)"', svg):
        xy = np.array([pair.split(",") for pair in points.split()], dtype=float)
        assert (xy >= 0).all()
        assert (xy <= [640, 360]).all()
    assert "<line>" not in svg


def test_chart_of_one_point_can_be_drawn():
    series = Series("one", [2.0], [0.5], dots=True)
    svg = line_chart(Chart("t", "x", "y", [series], "m", TableBlock((), []), log_x=True))
    read_page(svg)
    (x, y) = (float(re.search(rf'<circle[^>]* c{axis}="([^"]+)"', svg)[1]) for axis in "xy")
    assert 0 <= x <= 640
    assert 0 <= y <= 360


def test_page_draws_every_block():
    blocks = [
        TableBlock(("name", "n"), [("<x>", 1), ("y", 2000)], "meaning", "title"),
        Findings([(status, status) for status in ("look", "note", "ok", "skipped")]),
        Examples([("title", [("A", ""), ("B", "text")])]),
        Note("note"),
    ]
    html = page("t", "s", [Section("q?", "a.", blocks)], "f")
    shown = "".join(read_page(html).words)
    for part in ("<x>", "2,000", "(empty)", "meaning", "note"):
        assert part in shown


@pytest.mark.skipif(
    not Path(CHROMIUM).exists(), reason="chromium is not installed, so no browser draws the page"
)
@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
@pytest.mark.parametrize("width", [390, 1280])
def test_browser_draws_the_page(written, tmp_path, width, scheme):
    picture = tmp_path / "report.png"
    run = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--blink-settings=preferredColorScheme={scheme}",
            f"--screenshot={picture}", f"--window-size={width},1200",
            (written / "report.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in run.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000


def test_labels_that_a_model_never_misses_get_a_calibration_of_no_bound(tmp_path):
    rows = [
        {"prompt": f"p{i}", "chosen": f"good {'xyz'[i % 3]}", "rejected": f"bad {'zxy'[i % 3]}"}
        for i in range(240)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["audit", str(path), "--out", str(tmp_path / "out"), "--no-progress"]) == 0
    assert "have no bound, as no pair is against the model" in " ".join(
        (tmp_path / "out" / "report.html").read_text().split()
    )


def test_a_reward_that_is_the_same_for_all_words_is_no_error(tmp_path, capsys):
    """Where no word occurs three times, the reward of word counts is one of their number."""
    numbers = iter(range(10_000))

    def write(n):
        return " ".join(f"w{next(numbers)}" for _ in range(n))

    rows = [{"prompt": write(3), "chosen": write(5), "rejected": write(2)} for _ in range(60)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    words = ["audit", str(path), "--out", str(tmp_path / "report"), "--no-progress", "--full"]
    assert main(words) == 0
    assert "one and the same for all words" in " ".join(capsys.readouterr().out.split())
