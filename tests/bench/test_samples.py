from bench.samples import Samples


def test_slow_samples_are_left_out_where_three_others_exist() -> None:
    samples = Samples(slow_state=1.1)
    for value, probe_us in ((10, 100), (30, 105), (20, 100), (90, 150)):
        samples.add("gateway cpu_us", value, probe_us)

    assert samples.spread("gateway cpu_us") == {"min": 10, "median": 20, "max": 30}
    assert samples.slow_count("gateway cpu_us") == 1


def test_slow_samples_count_where_too_few_others_exist() -> None:
    samples = Samples(slow_state=1.1)
    for value, probe_us in ((10, 100), (20, 100), (90, 150)):
        samples.add("gateway cpu_us", value, probe_us)

    assert samples.spread("gateway cpu_us") == {"min": 10, "median": 20, "max": 90}
    assert (samples.windows, samples.slow_windows) == (3, 1)


def test_speed_is_judged_by_the_fastest_probe_of_the_whole_run() -> None:
    samples = Samples(slow_state=1.1)
    samples.add("null cpu_us", 50, 100)
    samples.add("gateway cpu_us", 200, 150)

    assert samples.slow_count("gateway cpu_us") == 1
