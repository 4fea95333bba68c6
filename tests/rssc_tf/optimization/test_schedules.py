"""The learning rate of the study."""

import keras
import pytest

from rssc_tf.optimization.schedules import CosineSchedule, PaperSchedule
from rssc_tf.optimization.table import SCHEDULES


def test_the_paper_over_its_100_epochs():
    rate = PaperSchedule(peak=1.0, steps=1000)  # 10 steps an epoch
    assert float(rate(0)) == pytest.approx(1 / 50)
    assert float(rate(24)) == pytest.approx(0.5)
    for step, divisor in ((49, 1), (499, 1), (500, 5), (699, 5), (700, 25), (900, 125), (999, 125)):
        assert float(rate(step)) == pytest.approx(1 / divisor), step


def test_a_short_run_keeps_the_shares():
    rate = PaperSchedule(peak=1.0, steps=20)  # the milestones are steps 10, 14 and 18
    values = [float(rate(step)) for step in range(20)]
    assert values[1:10] == pytest.approx([1.0] * 9)
    assert values[10:] == pytest.approx([0.2] * 4 + [0.04] * 4 + [0.008] * 2)


def test_cosine_rises_falls_and_ends_near_zero():
    rate = CosineSchedule(peak=2.0, steps=100)
    values = [float(rate(step)) for step in range(100)]
    assert values[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert values[5:] == sorted(values[5:], reverse=True)
    assert 0 < values[-1] < 0.01


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_a_schedule_survives_serialisation(name):
    rate = SCHEDULES[name](0.5, 40)
    schedules = keras.optimizers.schedules
    again = schedules.deserialize(schedules.serialize(rate))
    assert float(again(7)) == float(rate(7))
