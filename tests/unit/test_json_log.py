import json
import logging

from ferryman.json_log import JsonFormatter


def test_a_record_is_one_line_of_json_with_its_extra_fields():
    record = logging.makeLogRecord(
        {"name": "n", "levelname": "WARNING", "msg": "x %s", "args": ("é\n",), "node": "worker"}
    )
    line = JsonFormatter().format(record)
    fields = json.loads(line)
    assert "\n" not in line
    assert (fields["level"], fields["message"], fields["node"]) == ("warning", "x é\n", "worker")


def test_an_exception_is_part_of_the_line():
    error = ValueError("broken")
    record = logging.makeLogRecord({"msg": "x", "exc_info": (ValueError, error, None)})
    assert "ValueError: broken" in json.loads(JsonFormatter().format(record))["exception"]
