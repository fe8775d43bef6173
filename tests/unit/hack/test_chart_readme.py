"""The chart's table of values against Helm's own reading of them."""

import yaml

from hack.generate.chart_readme import ChartValue, chart_readme, values
from hack.manifests import CHART

TEXT = """\
# Who is asked,
# and when.
one: {a: 1, b: "x|y"}
two:
  # A list.
  three:
    - {k: v}
  four: ""
"""


def test_a_value_has_its_comment_and_its_default_as_it_is_written():
    assert values(TEXT) == [
        ChartValue("one", '{a: 1, b: "x|y"}', "Who is asked, and when."),
        ChartValue("two.three", "- {k: v}", "A list."),
        ChartValue("two.four", '""', ""),
    ]


def test_the_defaults_are_those_that_helm_reads():
    text = (CHART / "values.yaml").read_text()
    for each in values(text):
        found = yaml.safe_load(text)
        for name in each.path.split("."):
            found = found[name]
        if each.default:
            assert yaml.safe_load(each.default) == found, each.path


def test_every_row_of_the_table_is_one_line_of_three_cells():
    rows = [line for line in chart_readme().splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert all(line.replace("\\|", "").count("|") == 4 for line in rows)
