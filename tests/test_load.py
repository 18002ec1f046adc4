"""The cheap part of `python tests/load.py`: the records of a folder grow no faster than the corpus."""

from load import analysis_plan, records


def test_records_grow_with_the_corpus(tmp_path):
    few, many = (records(number, tmp_path / str(number)) for number in (2_000, 20_000))
    for what, seconds in many.items():  # ten times as many; quadratic would be a hundred times as long
        assert seconds < 30 * few[what] + 0.5, (what, few, many)


def test_an_analysis_of_many_is_planned_at_once(tmp_path):
    few, many = (analysis_plan(number, tmp_path / str(number)) for number in (2_000, 20_000))
    for what, seconds in many.items():
        assert seconds < 30 * few[what] + 0.5, (what, few, many)
