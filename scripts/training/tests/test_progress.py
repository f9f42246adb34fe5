import io

from facetrain.progress import ProgressBar, duration, progress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_says_share_rate_and_time_to_go() -> None:
    clock = Clock()
    bar = ProgressBar("train", 100, stream=io.StringIO(), clock=clock)
    bar.advance(25, note="loss 1.5")
    clock.now = 5.0
    line = bar.line(clock.now)
    assert "25%" in line
    assert "25/100" in line
    assert "0:05 < 0:15" in line
    assert "5.0/s" in line
    assert line.endswith("loss 1.5")


def test_time_to_go_counts_only_this_processs_work() -> None:
    clock = Clock()
    bar = ProgressBar("train", 100, start=50, stream=io.StringIO(), clock=clock)
    bar.advance(10)
    clock.now = 10.0
    assert "0:10 < 0:40" in bar.line(clock.now)


def test_a_pipe_gets_few_lines_and_a_terminal_one() -> None:
    for stream, ends in ((io.StringIO(), 3), (Terminal(), 1)):
        clock = Clock()
        with ProgressBar("embed", 40, stream=stream, clock=clock) as bar:
            for _ in range(40):
                clock.now += 1.0
                bar.advance()
        assert stream.getvalue().count("\n") == ends, stream.getvalue()


def test_short_work_is_silent() -> None:
    stream = io.StringIO()
    with ProgressBar("quick", 3, stream=stream, clock=Clock()) as bar:
        bar.advance(3)
    assert stream.getvalue() == ""


def test_progress_yields_everything() -> None:
    assert list(progress(range(5), 5, "count", enabled=False)) == [0, 1, 2, 3, 4]


def test_duration() -> None:
    assert [duration(s) for s in (0, 75, 3700)] == ["0:00", "1:15", "1:01:40"]
