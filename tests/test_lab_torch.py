"""Tables as models of transformers, losses of torch as functions of arrays, and TRL on a table."""

import importlib.util
import runpy
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from sklearn_codex import NGramCounter, NGramLM, lab
from sklearn_codex.exact import CandidateObjective, NGramObjective, arc_reward
from sklearn_codex.lab import torch as lab_torch
from sklearn_codex.lab.torch import CandidateTask, NGramTask, from_torch

HERE = Path(__file__).parent
MISSING = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
needs_torch = pytest.mark.skipif(
    bool(MISSING), reason=f"needs the extra lab: {', '.join(MISSING)} not installed"
)
needs_trl = pytest.mark.skipif(
    bool(MISSING) or importlib.util.find_spec("trl") is None,
    reason="needs the extra lab: trl not installed",
)
pytestmark = [
    pytest.mark.lab,
    # What these libraries warn of in their own code is theirs.
    pytest.mark.filterwarnings("ignore:::torch"),
    pytest.mark.filterwarnings("ignore:::transformers"),
    pytest.mark.filterwarnings("ignore:::trl"),
    pytest.mark.filterwarnings("ignore:::accelerate"),
]


def make_task():
    reference = np.array([0.1, 0.2, 0.3, 0.25, 0.15])
    reward = np.array([0.0, 1.0, 2.0, 0.5, -0.5])
    objective = CandidateObjective(np.log(reference), reward, np.array([0, 0, 0, 1, 1]))
    return CandidateTask(objective, ["no", "no but", "yes but yes", "yes", "no"])


# Without torch


def test_what_is_missing_is_told():
    # Another way than None in sys.modules, in which scipy looks for the types of torch.
    program = (
        "import sys\n"
        "class Nowhere:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('torch', 'transformers'):\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Nowhere())\n"
        "from sklearn_codex.lab import torch as lab\n"
        "lab.from_torch(abs)  # asks for nothing yet\n"
        "for ask in (lambda: lab.TabularCausalLM, lambda: lab.from_torch(abs)(1.0)):\n"
        "    try:\n"
        "        ask()\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    lines = run.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert "needs the library t" in line
        assert line.endswith("pip install 'sklearn-codex[lab]'")


def test_an_unknown_name_is_told():
    with pytest.raises(AttributeError, match="has no attribute 'PPO'"):
        lab_torch.PPO  # noqa: B018


@pytest.mark.parametrize(
    ("wrt", "message"), [("b", "one of a, or its place from 0, got 'b'"), (1, "got 1"), (-1, "-1")]
)
def test_an_argument_that_is_not_there_is_told(wrt, message):
    with pytest.raises(TypeError, match=message):
        from_torch(lambda a: a, wrt=wrt)


def test_what_is_no_function_is_told():
    with pytest.raises(TypeError, match="needs a function of tensors, got a float"):
        from_torch(1.0)


# Functions of tensors


@needs_torch
def test_an_advantage_keeps_types_and_what_is_no_number():
    import torch

    def advantage(rewards, mask, index, *, scale):
        assert rewards.dtype == torch.float64
        assert mask.dtype == torch.bool
        assert isinstance(index, np.ndarray)
        total = (rewards * mask).sum(-1)
        groups = {name: total[[i for i, own in enumerate(index) if own == name]] for name in index}
        centred = torch.stack([t - groups[n].mean() for t, n in zip(total, index, strict=True)])
        return scale * centred[:, None] * mask, {"groups": len(groups), "total": total}

    rewards = np.array([[0.0, 1.0], [0.0, 3.0], [5.0, 9.0]])
    mask = np.array([[True, True], [True, True], [True, False]])
    index = np.array(["a", "a", "b"], dtype=object)
    found, metrics = from_torch(advantage)(rewards, mask, index, scale=2.0)
    np.testing.assert_allclose(found, [[-2, -2], [2, 2], [0, 0]])
    assert isinstance(metrics["total"], np.ndarray)
    assert metrics["groups"] == 2


@needs_torch
@pytest.mark.parametrize("by_name", [False, True])
def test_groups_stay_an_array(by_name):
    import torch

    def advantage(token_level_rewards, response_mask, index, uid=None):
        assert torch.is_tensor(uid)
        scores = token_level_rewards.sum(-1)
        means = {name: scores[np.flatnonzero(index == name)].mean() for name in np.unique(index)}
        centred = torch.stack([s - means[i] for s, i in zip(scores, index, strict=True)])
        return centred[:, None] * response_mask

    rewards, mask, index = np.array([[1.0], [3.0], [5.0]]), np.ones((3, 1)), np.array([4, 4, 7])
    function = from_torch(advantage)
    uid = np.arange(3)
    if by_name:
        found = function(rewards, mask, uid=uid, index=index)
    else:
        found = function(rewards, mask, index, uid)
    np.testing.assert_array_equal(found.ravel(), [-1.0, 1.0, 0.0])


@needs_torch
@pytest.mark.parametrize("wrt", ["log_prob", 1])
@pytest.mark.parametrize("by_name", [False, True])
def test_gradients_are_those_of_finite_differences(wrt, by_name):
    import torch

    def clipped(old_log_prob, log_prob, advantages, response_mask):
        ratio = torch.exp(log_prob - old_log_prob)
        low = torch.clamp(ratio, 0.8, 1.2)
        loss = -torch.minimum(ratio * advantages, low * advantages)
        return (loss * response_mask).sum() / response_mask.sum(), {"clip": 0.5}

    rng = np.random.default_rng(0)
    old, new = rng.normal(size=(2, 3, 4))
    advantages, mask = rng.normal(size=(3, 4)), (rng.random((3, 4)) < 0.7).astype(float)
    function = from_torch(clipped, wrt=wrt)
    names = ("old_log_prob", "log_prob", "advantages", "response_mask")

    def value_at(log_prob):
        arrays = (old, log_prob, advantages, mask)
        return function(**dict(zip(names, arrays, strict=True))) if by_name else function(*arrays)

    value, gradient = value_at(new)
    assert isinstance(value, float)
    assert gradient.shape == new.shape
    step = 1e-6
    for place in np.ndindex(*new.shape):
        change = np.zeros_like(new)
        change[place] = step
        slope = (value_at(new + change)[0] - value_at(new - change)[0]) / (2 * step)
        assert gradient[place] == pytest.approx(slope, abs=1e-7)


@needs_torch
def test_what_is_detached_is_a_constant():
    def times_itself(x):
        return (x * x.detach()).sum()

    value, gradient = from_torch(times_itself, wrt="x")(np.array([3.0, 4.0]))
    assert value == 25.0
    np.testing.assert_array_equal(gradient, [3.0, 4.0])


@needs_torch
def test_arrays_are_not_changed_in_place():
    given = np.array([1.0, 2.0])
    from_torch(lambda x: x.mul_(2))(given)
    from_torch(lambda x, y: (x * y.mul_(2)).sum(), wrt="x")(given, given)
    np.testing.assert_array_equal(given, [1.0, 2.0])


@needs_torch
def test_what_was_returned_stays_as_it_is():
    import torch

    buffer = torch.zeros(2)

    class Sum(torch.autograd.Function):
        @staticmethod
        def forward(context, values):
            return values.sum()

        @staticmethod
        def backward(context, by_sum):
            return buffer.add_(1)

    loss = from_torch(lambda values: Sum.apply(values), wrt="values")
    results = [from_torch(buffer.add_)(np.zeros(2, dtype=np.float32))]
    results += [loss(np.zeros(2, dtype=np.float32))[1] for _ in range(2)]
    np.testing.assert_array_equal(results, [[0, 0], [1, 1], [2, 2]])


@needs_torch
def test_named_tuples_and_short_floats_come_back():
    import torch

    Pair = namedtuple("Pair", ["worth", "metrics"])

    def advantage(rewards):
        return Pair(rewards.to(torch.bfloat16), {"mean": rewards.mean()})

    found = from_torch(advantage)(np.array([1.0, 2.5]))
    assert type(found) is Pair
    assert found.worth.dtype == np.float32
    assert found.worth.tolist() == [1.0, 2.5]
    assert found.metrics["mean"] == 1.75
    loss, gradient = from_torch(lambda x: (x.bfloat16() ** 2).sum().float(), wrt="x")(np.ones(2))
    assert (loss, gradient.tolist()) == (2.0, [2.0, 2.0])


@needs_torch
@pytest.mark.parametrize(
    "value", [np.arange(6.0)[::-1], np.arange(6.0).astype(">f8"), np.arange(6.0).reshape(2, 3).T,
              np.float64(3.0), np.arange(4)[::2]],
)  # fmt: skip
def test_arrays_of_any_layout_become_tensors(value):
    assert np.array_equal(from_torch(lambda x: x)(value), value)


@needs_torch
@pytest.mark.parametrize(
    ("function", "arguments", "error", "message"),
    [
        (lambda x: x, ([1.0, 2.0],), ValueError, r"scalar loss, got shape \(2,\)"),
        (lambda x: x.detach().sum(), ([1.0],), ValueError, "does not depend on 'x'|on 0"),
        (lambda x: 1.0, ([1.0],), TypeError, "a loss that is a tensor, got a float"),
        (lambda x: x.sum(), ([1, 2],), TypeError, "floats to take the gradient"),
        (lambda x: x.sum(), (), TypeError, "was called without 'x'"),
    ],
)
def test_losses_without_a_gradient_are_told(function, arguments, error, message):
    with pytest.raises(error, match=message):
        from_torch(function, wrt="x")(*map(np.array, arguments))


@needs_torch
def test_functions_of_tensors_are_checked_as_an_algorithm():
    import torch

    def leave_one_out(token_level_rewards, response_mask, index, log_ratio, kl_coef):
        scores = (token_level_rewards - kl_coef * log_ratio * response_mask).sum(-1)
        advantages = torch.zeros_like(scores)
        for group in np.unique(index):
            at = np.flatnonzero(index == group)
            advantages[at] = (scores[at] - scores[at].mean()) * len(at) / (len(at) - 1)
        return advantages[:, None] * response_mask

    def surrogate(old_log_prob, log_prob, advantages, response_mask):
        ratio = torch.exp(log_prob - old_log_prob)
        return -(ratio * advantages * response_mask).sum() / len(ratio), {"ratio": ratio.mean()}

    advantage, loss = from_torch(leave_one_out), from_torch(surrogate, wrt="log_prob")

    def update(log_prob, batch):
        advantages = advantage(
            batch.token_level_rewards, batch.response_mask, batch.index,
            batch.old_log_prob - batch.ref_log_prob, batch.kl_coef,
        )  # fmt: skip
        return loss(batch.old_log_prob, log_prob, advantages, batch.response_mask)

    lab.check_algorithm(update).assert_unbiased()


# The model


@needs_torch
def test_a_model_scores_answers_as_its_table_does(tmp_path):
    import torch

    task = make_task()
    model, tokenizer = task.model(tmp_path), task.tokenizer()
    assert task.gap(model) == pytest.approx(task.gap(task.reference), abs=1e-6)
    texts = [f"p{p} {a} <eos>" for p, a in zip(task.objective.prompts, task.answers, strict=True)]
    inputs = tokenizer(texts, return_tensors="pt", padding=True)
    with torch.no_grad():
        logits = model(**inputs).logits
    steps = torch.log_softmax(logits[:, :-1], -1)
    ids, mask = inputs["input_ids"][:, 1:], inputs["attention_mask"]
    scored = steps.gather(-1, ids[..., None])[..., 0]
    # The prompt itself is not scored: neither is what comes before a first token.
    first = mask.argmax(dim=1)
    after = torch.arange(ids.shape[1]) >= first[:, None]
    found = (scored * after).sum(dim=1).numpy()
    shares = np.log([0.6, 0.4])[task.objective.prompts]
    np.testing.assert_allclose(found + shares, task.objective.start, atol=1e-5)


@needs_torch
def test_generated_answers_are_as_frequent_as_the_table_says(tmp_path):
    import torch

    task = make_task()
    model, tokenizer = task.model(tmp_path), task.tokenizer()
    torch.manual_seed(0)
    inputs = tokenizer(["p0"] * 4_000, return_tensors="pt", padding=True)
    ids = model.generate(**inputs, do_sample=True, max_new_tokens=5)
    answers = tokenizer.batch_decode(ids[:, 1:], skip_special_tokens=True)
    rows = np.array([task.row("p0", answer) for answer in answers])
    shares = np.bincount(rows, minlength=3) / len(rows)
    np.testing.assert_allclose(shares, np.array([1, 2, 3]) / 6, atol=0.03)


@needs_torch
def test_the_loss_is_the_mean_of_what_tokens_cost(tmp_path):
    import torch

    task = make_task()
    model, tokenizer = task.model(tmp_path), task.tokenizer()
    ids = tokenizer(["p0 no but <eos>"], return_tensors="pt")["input_ids"]
    labels = ids.clone()
    labels[:, 0] = -100
    # "no" has probability 1/2, "but" then 2/3, and the end is certain.
    expected = (np.log(2) + np.log(1.5)) / 3
    assert model(ids, labels=labels).loss.item() == pytest.approx(expected, abs=1e-6)
    half = model.to(torch.bfloat16)(ids, logits_to_keep=2)
    assert half.logits.dtype == torch.bfloat16
    assert half.logits.shape == (1, 2, len(task.words))


@needs_torch
def test_a_model_is_found_again_by_the_auto_classes(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    task = make_task()
    model = task.model(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(again) is lab_torch.TabularCausalLM
    np.testing.assert_array_equal(again.table(), model.table())
    np.testing.assert_array_equal(again.model.moves, task.moves)
    words = AutoTokenizer.from_pretrained(tmp_path).convert_ids_to_tokens(range(len(task.words)))
    assert words == task.words


@needs_torch
@pytest.mark.parametrize(
    ("moves", "table", "message"),
    [
        ([[0, 0]], [[0.0, 0.0], [0.0, 0.0]], "one shape"),
        ([[0, 1]], [[0.0, 0.0]], "int from 0 to 0, got int64 from 0 to 1"),
        ([[0, 0]], [[0.0, np.nan]], "got NaN or inf"),
        ([[0, 0], [0, 0]], [[0.0, 0.0], [-np.inf, -np.inf]], "state 1 has -inf alone"),
    ],
)
def test_tables_that_are_none_are_refused(moves, table, message):
    with pytest.raises(ValueError, match=message):
        lab_torch.TabularCausalLM.from_table(moves, table)


# TRL


@needs_trl
@pytest.mark.slow
def test_the_leave_one_out_trainer_of_trl_rests_at_the_exact_optimum(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = runpy.run_path(str(HERE / "trl_on_a_table.py"))
    np.testing.assert_allclose(found["found"], found["best"], atol=0.02)
    assert found["share"] < 0.005


@needs_trl
@pytest.mark.slow
def test_the_leave_one_out_trainer_of_trl_finds_the_best_bigram_model(tmp_path, monkeypatch):
    import torch
    from datasets import Dataset
    from trl import RLOOConfig, RLOOTrainer

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    torch.set_num_threads(1)
    counter = NGramCounter(2, eos_token="<eos>")
    lm = NGramLM(2, smoothing="witten-bell", vectorizer=counter).fit(["a b a", "b b", "a", "b a b"])
    reward = arc_reward(lm, {"b": -1.0, "a b": 2.0, "a": -0.3})
    task = NGramTask(NGramObjective.of_model(lm, reward, kl_coef=1.0))
    model = task.model(tmp_path / "reference")
    args = RLOOConfig(
        output_dir=str(tmp_path / "out"), max_steps=60, per_device_train_batch_size=128,
        num_generations=4, beta=1.0, learning_rate=0.1, max_completion_length=40, bf16=False,
        use_cpu=True, gradient_checkpointing=False, save_strategy="no", report_to="none",
        disable_tqdm=True,
    )  # fmt: skip
    trainer = RLOOTrainer(
        model=model, reward_funcs=task.reward, args=args, processing_class=task.tokenizer(),
        train_dataset=Dataset.from_list(task.prompt_records(128)),
    )  # fmt: skip
    trainer.train()
    assert task.gap(model) < 0.02 * task.gap(task.reference)
