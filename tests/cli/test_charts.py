"""`--plot` of optimal and batch: the numbers that are drawn, and the drawings in letters."""

from __future__ import annotations

import pytest

from scaleplan.answer import Chart
from scaleplan.chain import catalogue
from scaleplan.chain.optimum import advise
from scaleplan.laws.allocation import Question
from scaleplan.laws.batch import Tradeoff
from scaleplan.questions.batch.charts import pareto_chart
from scaleplan.questions.optimal.charts import charts_of


def charts(question: Question, *laws: str) -> list[Chart]:
    yardstick, critical_batch = catalogue.load_law(catalogue.recommended()), catalogue.critical_batch()
    advices = [advise(law, question, yardstick, critical_batch) for law in catalogue.load_laws(laws or catalogue.default_laws())]
    return charts_of(question, advices, catalogue.recommended())


def named(chart: Chart, name: str):
    return next(part for part in [*chart.series, *chart.marks] if part.name == name)


def test_the_optimum_is_the_lowest_point_of_its_curve():
    """Along equal compute each law's curve falls to its mark and rises after it."""
    iso_flop = charts(Question(compute_flops=1e21))[0]

    for series in iso_flop.series:
        best = named(iso_flop, f"best of {series.name}")
        assert min(series.y) >= best.y
        lowest = series.x[series.y.index(min(series.y))]
        assert lowest == pytest.approx(best.x, rel=0.1)


def test_losses_of_different_tokenizers_are_drawn_apart():
    """Kaplan's tokens are not Chinchilla's, and what has no loss along a budget is not drawn: one chart, of two laws."""
    drawn = [chart for chart in charts(Question(compute_flops=1e21)) if chart.title.startswith("Loss")]

    assert [[series.name for series in chart.series] for chart in drawn] == [["hoffmann2022-3", "besiroglu2024"]]
    both = charts(Question(compute_flops=1e21), catalogue.recommended(), "muennighoff2023")
    assert len([chart for chart in both if chart.title.startswith("Loss")]) == 2


def test_the_band_is_that_of_the_draws():
    """At 5.76e23 FLOP the 80 % interval of N is 57.5 to 98.6 billion (bootstrap of besiroglu2024's points)."""
    sizes = charts(Question(compute_flops=5.76e23))[1]
    series = named(sizes, catalogue.recommended())
    here = min(range(len(series.x)), key=lambda i: abs(series.x[i] / 5.76e23 - 1))

    assert (series.low[here], series.high[here]) == pytest.approx((57.5e9, 98.6e9), rel=0.04)


def test_sizes_and_tokens_make_the_budget():
    """Two decades to either side; 6 N D = C at every point of a law that counts all parameters."""
    _, sizes, tokens = charts(Question(compute_flops=1e21))

    assert sizes.series[0].x[0] == pytest.approx(1e19)
    assert sizes.series[0].x[-1] == pytest.approx(1e23)
    for law in ("hoffmann2022-1", "hoffmann2022-3", catalogue.recommended()):
        n, d = named(sizes, law), named(tokens, law)
        assert [6 * a * b for a, b in zip(n.y, d.y, strict=True)] == pytest.approx(n.x)


def test_the_fitted_range_is_marked():
    """The largest run of the fit (1.3e22 FLOP) is in the picture of 1e21 and not in that of 1e25."""
    near, far = (charts(Question(compute_flops=flops))[1] for flops in (1e21, 1e25))

    assert named(near, "largest run of its fit").x == 1.3e22
    assert [mark.name for mark in far.marks] == ["this budget"]


def test_a_run_off_the_optimum_is_marked():
    """70B parameters on 1.4T tokens lie to the right of hoffmann2022-3's best size."""
    iso_flop = charts(Question(n_params=70e9, n_tokens=1.4e12), "hoffmann2022-3")[0]
    run, best = named(iso_flop, "this run"), named(iso_flop, "best of hoffmann2022-3")

    assert run.x == 70e9
    assert best.x < run.x
    assert best.y < run.y


@pytest.mark.parametrize(
    "args",
    [
        ("--loss", "2.1", "--inference-tokens", "2T"),
        ("--compute", "1e22", "--unique-tokens", "25B"),
        ("--compute", "1e23", "--where", "n_params<=13B"),
        ("--compute", "1e21", "--law", "all"),
        ("--tokens", "1T", "--law", "kaplan2020"),
    ],
)
def test_every_question_can_be_drawn(run, args):
    """In letters, below the tables, within 80 columns and in ASCII."""
    plain, drawn = (run("optimal", *args, "-q", *more).stdout for more in ((), ("--plot",)))

    drawing = drawn.removeprefix(plain)
    assert drawn.startswith(plain)
    assert "The best N against compute" in drawing
    assert max(map(len, drawing.splitlines())) <= 80
    assert drawing.isascii()


def test_every_batch_is_a_point_of_the_trade_off():
    """(S / S_min - 1) (E / E_min - 1) = 1 along the curve; at B_crit both are twice the least (mccandlish2018)."""
    chart = pareto_chart(Tradeoff(min_tokens=1e10, min_steps=1e4), chosen=None)
    (series,) = chart.series

    assert [(s / 1e4 - 1) * (e / 1e10 - 1) for e, s in zip(series.x, series.y, strict=True)] == pytest.approx([1.0] * len(series.x))
    assert named(chart, "B_crit")[1:] == pytest.approx((2e10, 2e4))


def test_a_growing_batch_is_drawn(run):
    """With --schedule also the batch along the way, beside the constant one."""
    drawn = run("batch", "--loss", "2.6", "--n-params", "1B", "--schedule", "--plot").stdout
    assert "constant batch, equal steps" in drawn


def test_letters_are_no_json(run):
    """A drawing in letters would spoil the document: refused, with the way to a file."""
    outcome = run("batch", "--loss", "2.5", "--plot", "--json")

    assert (outcome.code, outcome.stdout) == (2, "")
    assert "--plot chart.svg" in outcome.stderr


@pytest.mark.parametrize("line", ["optimal --compute 1e21", "batch --loss 2.5"])
def test_a_picture_beside_the_document(run, tmp_path, line):
    """A picture in a file goes with every format."""
    path = tmp_path / "chart.svg"

    assert run(*line.split(), "--plot", path, "--json").result
    assert path.read_text().startswith("<svg")
