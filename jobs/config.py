"""The recipe: one YAML file that a whole run follows, validated before any work starts."""

import os
import subprocess
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from curation.judges.config import JudgeConfig
from curation.places import place
from curation.settings import Settings
from curation.world.config import WorldConfig
from jobs.evaluate_config import EvaluateConfig
from jobs.export_config import ExportConfig
from jobs.generate_config import GenerateConfig
from jobs.prove_config import ProveConfig
from jobs.training.config import TrainConfig
from jobs.training.stages import StageConfig
from jobs.training.stages import check as check_stages
from pipelines.ask_config import AskConfig
from pipelines.budget import ERROR_BUDGET
from pipelines.caption_config import CaptionConfig
from pipelines.encode_config import EncodeConfig
from pipelines.plan_config import PlanConfig
from pipelines.policy import Policy
from pipelines.scan_config import ScanConfig
from pipelines.speech_config import SpeechConfig
from pipelines.storage import DataRoot

MAX_RECIPE_BYTES = 1 << 20
RESOLVED = "recipe.yaml"  # in a run's folder and its MLflow run: with every default and override


class RecipeError(ValueError):
    """The request is wrong; the message names the field and the fix."""


class Recipe(Settings):
    """Everything a run depends on besides the films."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="name of the run")
    out: Path = Field(description="folder of everything this recipe makes")
    storage: str = Field(
        "",
        description="where ledger and shards lie: a folder, or s3://bucket/prefix with the options "
        "of docs/storage.md; default <out>/data",
    )
    seed: int = Field(0, ge=0, description="seed of order, tasks, noise and dropout")
    max_rejected: float = Field(
        0.2, ge=0, le=1, description="share of refused films that is too much"
    )
    error_budget: float = Field(
        ERROR_BUDGET,
        ge=0,
        le=1,
        description="share of a pass's inputs that may fail for one cause that is not their own "
        "(unreadable, internal, memory_limit, worker_died) before it stops; 1 never stops it",
    )
    tracking: str = Field(
        "", description="MLflow tracking URI; default sqlite in <out>/../mlflow.db"
    )
    world: WorldConfig = Field(default_factory=WorldConfig)
    speech: SpeechConfig = Field(default_factory=SpeechConfig)
    scan: ScanConfig = Field(default_factory=ScanConfig)
    judge: JudgeConfig = Field(default_factory=JudgeConfig)
    ask: AskConfig = Field(default_factory=AskConfig)
    caption: CaptionConfig = Field(default_factory=CaptionConfig)
    policy: Policy = Field(default_factory=Policy)
    encode: EncodeConfig = Field(default_factory=EncodeConfig)
    plan: PlanConfig = Field(default_factory=PlanConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    stages: tuple[StageConfig, ...] = Field(
        (), description="trainings one after the other, each from the weights of the one before"
    )
    generate: GenerateConfig = Field(default_factory=GenerateConfig)
    prove: ProveConfig = Field(default_factory=ProveConfig)
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    export: ExportConfig = Field(default_factory=ExportConfig)

    @field_validator("out", mode="before")
    @classmethod
    def _out_is_here(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the recipe has
        if "://" in str(value):
            raise ValueError("is a folder of this machine; put a URI into `storage`")
        return value

    @field_validator("storage")
    @classmethod
    def _storage_is_a_place(cls, value: str) -> str:
        place(value)
        return value

    @model_validator(mode="after")
    def _cuts_respect_words(self) -> Self:
        """The scan's rows depend on the words it cuts between, so its settings name their table."""
        scan = self.scan.model_copy(update={"words": self.speech.table()})
        object.__setattr__(self, "scan", scan)
        return self

    @model_validator(mode="after")
    def _rules_ask_what_is_asked(self) -> Self:
        """A rule on a question that the recipe does not put would drop every clip."""
        if strange := self.policy.questions() - set(self.ask.questions):
            there = ", ".join(sorted(self.ask.questions)) or "none"
            raise ValueError(
                f"policy: ask_{min(strange)} is the answer to no question; ask.questions: {there}"
            )
        return self

    @model_validator(mode="after")
    def _stages_can_be(self) -> Self:
        check_stages(self.train, self.stages)
        return self

    @property
    def data(self) -> DataRoot:
        """Ledger and shards."""
        return DataRoot(place(self.storage) if self.storage else self.out / "data")

    @property
    def score_tables(self) -> tuple[str, ...]:
        """The ledger tables of scores beside the scan's own, by this recipe's settings."""
        # Arrow: a recipe need not load it
        from pipelines.alike import alike_table  # noqa: PLC0415
        from pipelines.caption_agree import agreement_table  # noqa: PLC0415

        judged = self.judge.tables()
        tables = [*self.speech.tables().values(), *judged.values()]
        if "embed" in judged:
            tables.append(alike_table(judged["embed"], self.scan.fingerprint()))
        if questions := self.ask.table():
            tables.append(questions)
        captions = f"scores/caption@{self.caption.fingerprint()}"
        if agreement := agreement_table(captions, self.judge):
            tables.append(agreement)
        return tuple(tables)

    @property
    def tracking_uri(self) -> str:
        """Where MLflow writes."""
        return self.tracking or f"sqlite:///{(self.out.parent / 'mlflow.db').resolve()}"


def recipe_text(recipe: Recipe) -> str:
    """The resolved recipe as YAML, which `load_recipe` reads again."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases (they multiply) and without duplicate keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - yaml's own types
        if self.check_event(yaml.events.AliasEvent):
            raise RecipeError(
                "YAML aliases (*name) are not allowed in a recipe; write the value out"
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: ANN401
        keys = [key.value for key, _ in node.value]
        if len(keys) != len(set(keys)):
            twice = next(k for k in keys if keys.count(k) > 1)
            raise RecipeError(f"the key {twice!r} stands twice (line {node.start_mark.line + 1})")
        return super().construct_mapping(node, deep)


Kind = TypeVar("Kind", dict[str, Any], list[Any])


def read_yaml(path: Path, kind: type[Kind] = dict) -> Kind:  # type: ignore[assignment] # see Kind
    """A YAML mapping, or list, from a small file. Raises RecipeError naming file and problem."""
    try:
        if path.stat().st_size > MAX_RECIPE_BYTES:
            raise RecipeError(f"{path} is larger than {MAX_RECIPE_BYTES} bytes; is it a recipe?")
        value = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506, TID251 - a SafeLoader
    except OSError as error:
        raise RecipeError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(value, kind):
        form = "`key: value` lines" if kind is dict else "a list, `- key: value`"
        raise RecipeError(f"{path} must hold {form}")
    return value


def load_recipe(path: Path, overrides: dict[str, str] | None = None) -> Recipe:
    """The validated recipe; overrides are `section.field: text`, parsed as YAML values."""
    values = read_yaml(path)
    for dotted, text in (overrides or {}).items():
        put(values, dotted, parse_value(text))
    return make_recipe(values, str(path))


def make_recipe(values: dict[str, Any], origin: str) -> Recipe:
    """Validate `values`; the error lists every wrong field with the reason."""
    try:
        return Recipe(**values)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, issue['loc']))}: {issue['msg']}"
            + (f" (got {str(issue['input'])[:80]!r})" if issue["type"] != "missing" else "")
            for issue in error.errors()
        ]
        raise RecipeError(
            f"{origin} has {len(lines)} wrong field(s):\n" + "\n".join(lines)
        ) from error


def parse_value(text: str) -> Any:  # noqa: ANN401 - any YAML value
    """The value of an override. Numbers like 1e-4, which YAML takes for text, become numbers."""
    try:
        return float(text) if "e" in text.lower() and text[0] in "-.0123456789" else _scalar(text)
    except ValueError:
        return _scalar(text)


def _scalar(text: str) -> Any:  # noqa: ANN401
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def put(values: dict[str, Any], dotted: str, value: Any) -> None:  # noqa: ANN401
    """Set `a.b.c` inside nested mappings; a missing section is made, validation names a typo."""
    *sections, last = dotted.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"--{dotted}: {section!r} is a value, not a section")
        values = inner
    values[last] = value


def code_version() -> str:
    """The git commit of the running code with `+dirty` for uncommitted changes, or 'unknown'."""
    root = Path(__file__).parent.parent
    if version := os.environ.get("REELMILL_CODE_VERSION"):
        return version
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty=+dirty", "--abbrev=12"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
