import math
import sys

import ir_measures
import pytest

from nvrerank.evaluation.metrics import measured, metrics

PASSAGES = {f"p{number}": f"text {number}" for number in range(12)}
QRELS = {"q1": {"p0": 1, "p6": 1}, "q2": {"p3": 2, "p4": 1, "p5": 0}, "q3": {"p9": 1}}


def test_figures_are_those_counted_by_hand():
    orders = {"q1": list(PASSAGES), "q2": ["p4", "p5", "p3"]}
    values = measured(QRELS, orders, metrics("R@5,nDCG@10,R@1"))
    assert values["R@5"] == {"q1": 0.5, "q2": 1.0, "q3": 0.0}
    assert values["R@1"] == {"q1": 0.5, "q2": 0.5, "q3": 0.0}
    first = (1 + 1 / math.log2(8)) / (1 + 1 / math.log2(3))
    second = (1 + 2 / math.log2(4)) / (2 + 1 / math.log2(3))
    assert values["nDCG@10"] == pytest.approx({"q1": first, "q2": second, "q3": 0.0})


def test_another_order_has_other_figures():
    """The control."""
    values = measured(QRELS, {"q1": list(PASSAGES)[::-1], "q2": ["p3", "p4"]}, metrics(["R@5", "nDCG@10"]))
    assert values["R@5"] == {"q1": 0.0, "q2": 1.0, "q3": 0.0}
    assert values["nDCG@10"]["q2"] == pytest.approx(1.0)


def test_names_come_with_commas_or_as_a_list():
    assert [str(one) for one in metrics("R@5, nDCG@10")] == ["R@5", "nDCG@10"]
    assert metrics(["R@5", "nDCG@10"]) == metrics("R@5,nDCG@10")


@pytest.mark.parametrize(
    "names",
    [
        "bogus",
        "R@",
        "nDCG@x",
        "",
        "R@5,R@5",
        [],
        "NumQ",
        "R@5;P@1",
        "__import__('os')",
        "AP(2)",
        "AP(rel=x)@5",
        "AP(rel=2)(rel=1)",
        "AP(**{})",
        "R(@5",
    ],
)
def test_an_unknown_metric_is_refused(names):
    with pytest.raises(ValueError, match=r"metric"):
        metrics(names)


@pytest.mark.filterwarnings("ignore:ast.*:DeprecationWarning", "ignore:Attribute.*:DeprecationWarning")
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="ir-measures' own reader needs what 3.14 has no more")
@pytest.mark.parametrize(
    "name",
    [
        "R@5",
        "nDCG@10",
        "RR",
        "AP",
        "P@1",
        "AP(rel=2)@5",
        "nDCG(dcg='exp-log2')@3",
        "Judged@10",
        "Success(rel=1)@1",
    ],
)
def test_a_name_is_read_as_ir_measures_reads_it(name):
    [ours] = metrics([name])
    assert ours == ir_measures.parse_measure(name)
    assert str(ours) == str(ir_measures.parse_measure(name))
    assert ours != ir_measures.parse_measure("R@6")


@pytest.mark.parametrize("name", ["R@0", "R@-1", "R@True", "R@5.5", "nDCG@0", "AP@0"])
def test_a_cut_that_would_end_the_process_is_refused(name):
    with pytest.raises(ValueError, match="metric"):
        metrics(name)


@pytest.mark.parametrize("name", ["RBP", "INST", "nDCG@9999999999999999999999"])
def test_a_metric_that_nothing_here_computes_is_refused_before_there_is_anything_to_measure(name):
    with pytest.raises(ValueError, match="can't be computed here"):
        metrics(name)


def test_a_metric_that_the_data_do_not_allow_is_named_with_them():
    with pytest.raises(ValueError, match=r"toy: Accuracy@5 can't be computed"):
        measured({"1": {"p0": 1}}, {"1": ["p0"]}, metrics("Accuracy@5"), label="toy")
