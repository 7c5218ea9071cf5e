"""Who is who from frame to frame."""

import numpy as np
import pytest

from curation.judges.face_net import Face, follow, overlap


def face(left, top=10, side=40):
    marks = np.zeros((5, 2), np.float32)
    return Face((left, top, left + side, top + side), 0.9, marks)


def test_two_people_who_walk_are_two_tracks():
    """One track a frame, or two people joined when their order in the list changes."""
    frames = [[face(10 + 4 * i), face(200 - 4 * i)][:: 1 if i % 2 else -1] for i in range(10)]
    tracks = follow(frames)
    assert [len(track.frames) for track in tracks] == [10, 10]
    for track in tracks:
        lefts = [f.box[0] for f in track.faces]
        assert len({np.sign(step) for step in np.diff(lefts)}) == 1


def test_a_face_missed_once_is_the_same_person():
    """Half of a clip's people counted twice because a detector blinked."""
    frames = [[face(10)], [], [face(14)], [face(16)], [], [], [], [face(18)]]
    tracks = follow(frames)
    assert [track.frames for track in tracks] == [[0, 2, 3], [7]]


def test_a_cut_ends_a_track():
    """A face elsewhere in the picture taken for the same person."""
    assert len(follow([[face(10)], [face(300)]])) == 2


def test_overlap():
    """Union taken for the sum."""
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0
