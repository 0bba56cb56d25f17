import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.objectives.teacher import EmaTeacher, annealed_decay


def student_of(value: float) -> nn.Module:
    student = nn.Linear(2, 2, bias=False)
    nn.init.constant_(student.weight, value)
    return student


def test_decay_is_linear_and_then_constant():
    assert annealed_decay(0, 0.9, 0.99, 10) == pytest.approx(0.9)
    assert annealed_decay(5, 0.9, 0.99, 10) == pytest.approx(0.945)
    assert annealed_decay(10, 0.9, 0.99, 10) == 0.99
    assert annealed_decay(99, 0.9, 0.99, 10) == 0.99


def test_one_update_by_hand():
    teacher = EmaTeacher(student_of(1.0), 0.9, 0.9, 10)
    teacher.update(student_of(2.0), 1)
    assert torch.allclose(teacher.model.weight, torch.full((2, 2), 1.1))


def test_equals_torch_average_at_constant_decay():
    student = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    reference = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(0.7))
    reference.update_parameters(student)  # the first update copies
    teacher = EmaTeacher(student, 0.7, 0.7, 10)
    for step in range(1, 6):
        for parameter in student.parameters():
            nn.init.normal_(parameter)
        teacher.update(student, step)
        reference.update_parameters(student)
    for mine, theirs in zip(teacher.model.parameters(), reference.module.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_repeated_counters_and_the_jump_of_a_resume_change_nothing():
    teacher = EmaTeacher(student_of(1.0), 0.5, 0.5, 10)
    teacher.update(student_of(2.0), 0)
    teacher.update(student_of(2.0), 7)
    assert teacher.model.weight.unique().item() == 1.0
    teacher.update(student_of(2.0), 8)
    teacher.update(student_of(2.0), 8)
    assert teacher.model.weight.unique().item() == 1.5


def test_teacher_is_float32_without_gradient_and_in_evaluation_mode():
    student = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).bfloat16().train()
    teacher = EmaTeacher(student, 0.9, 0.99, 10)
    assert not teacher.model.training
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in teacher.model.parameters())
    teacher.update(student, 1)


def test_buffers_are_copied():
    student = nn.BatchNorm1d(2)
    teacher = EmaTeacher(student, 0.9, 0.99, 10)
    student.running_mean.fill_(3.0)
    teacher.update(student, 1)
    assert teacher.model.running_mean.tolist() == [3.0, 3.0]


def test_distance_is_relative():
    student = student_of(2.0)
    teacher = EmaTeacher(student, 0.9, 0.99, 10)
    assert teacher.distance(student).item() == 0.0
    assert teacher.distance(student_of(4.0)).item() == pytest.approx(0.5)


def test_schedule_position_survives_a_checkpoint():
    teacher = EmaTeacher(student_of(1.0), 0.9, 0.99, 10)
    for step in range(1, 4):
        teacher.update(student_of(2.0), step)
    copied = EmaTeacher(copy.deepcopy(teacher.model), 0.9, 0.99, 10)
    copied.load_state_dict(teacher.state_dict())
    for each in (teacher, copied):
        each.update(student_of(5.0), 4)
    assert torch.equal(teacher.model.weight, copied.model.weight)
    assert copied.decay == pytest.approx(annealed_decay(4, 0.9, 0.99, 10))
