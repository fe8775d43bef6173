from benchmarks import reference


def table(*images_per_second):
    return {"points": [{"imagesPerSecond": each} for each in images_per_second]}


def found(fast=(100.0, 104.0, 96.0), slow=(50.0, 51.0, 52.0)):
    tables = {"fast": [table(each / 2, each) for each in fast], "slow": list(map(table, slow))}
    return reference.summary(tables, "slow")


def test_the_peaks_of_the_runs_are_compared():
    summary = found()
    assert summary["peaks"]["fast"] == [100.0, 104.0, 96.0]
    assert summary["spread"] == {"fast": 0.08, "slow": 0.0392}
    assert summary["ratio"] == 0.51


def test_runs_must_agree_and_the_slow_node_be_told():
    assert reference.is_good(found())
    assert not reference.is_good(found(fast=(100.0, 110.0, 95.0)))
    assert not reference.is_good(found(slow=(80.0, 80.0, 80.0)))


def test_the_section_shows_every_run():
    report = {"date": "2026-11-21", "machine": {"cores": 2, "cpu": "Test"}, "summary": found()}
    text = reference.section(report)
    assert "| fast | 100.0, 104.0, 96.0 | 8.0% |" in text
    assert "0.51 of the other's throughput" in text
