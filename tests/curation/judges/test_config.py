"""Names of the judges' tables: what changes them and what does not."""

import pytest
from pydantic import ValidationError

from curation.judges.columns import COLUMNS, JUDGES
from curation.judges.config import VERSIONS, JudgeConfig
from curation.judges.models import ASSETS, MODELS, PACKAGES


def changed(**settings):
    """Judges whose table has another name under these settings."""
    before = JudgeConfig(judges=JUDGES).tables()
    after = JudgeConfig(judges=JUDGES, **settings).tables()
    return {name for name in JUDGES if before[name] != after[name]}


def test_a_changed_model_renames_only_its_own_tables(tmp_path):
    """One new model that throws away what eight others took days to say, or one that does not."""
    weights = tmp_path / "clip.safetensors"
    weights.write_bytes(b"1")
    clip = {"name": "ViT-B-32", "weights": str(weights)}
    assert changed(clip=clip) == {"looks", "embed"}
    before = JudgeConfig(judges=JUDGES, clip=clip).tables()
    weights.write_bytes(b"22")
    after = JudgeConfig(judges=JUDGES, clip=clip).tables()
    assert before["embed"] != after["embed"]
    assert before["agree"] == after["agree"]
    assert changed(lips={"path": str(weights)}) == {"lips"}
    assert changed(workers=3) == set()
    assert changed(rate=4) == set(JUDGES) - {"events", "voice"}


def test_where_a_model_lies_does_not_matter(tmp_path):
    """Tables made on one machine that another does not find."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.onnx").write_bytes(b"same")
    one, two = (
        JudgeConfig(judges=("lips",), lips={"path": str(tmp_path / f / "net.onnx")}) for f in "ab"
    )
    assert one.tables() == two.tables()


def test_judges_are_a_set():
    """The same judges in another order judged anew, or an unknown one ignored."""
    one, two = JudgeConfig(judges=("faces", "text")), JudgeConfig(judges=("text", "faces", "text"))
    assert one.tables() == two.tables()
    with pytest.raises(ValidationError, match="judges"):
        JudgeConfig(judges=("face",))


def test_every_judge_is_declared_whole():
    """A judge without columns, version or models; two judges that write one column."""
    assert set(VERSIONS) == set(MODELS) == set(PACKAGES) == set(COLUMNS)
    names = [column for columns in COLUMNS.values() for column in columns]
    assert len(names) == len(set(names))
    assert not {"clip_id", "status", "reason", "detail"} & set(names)
    assert all(len(asset.sha256) == 64 and asset.licence for asset in ASSETS)
    assert len({asset.path for asset in ASSETS}) == len(ASSETS)
