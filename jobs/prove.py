"""Train on generated films for some minutes and measure what was learnt, against known truth.

`reelmill prove jobs/recipes/prove.yaml --prove.minutes 15` makes films, curates and encodes them,
trains, and makes clips for every capability of `train.tasks` on test films of another seed: from
text, of kinds of objects that no training film has, from a first frame, and so on. Detectors that
know the world's palette and tones, not the prompt, read each clip. `<out>/proof.json` and
`<out>/proof.html` have one row a measure with its 95 % interval beside the untrained network,
chance, moved sound, other films of the same words and the truth through the autoencoders; MLflow's
run of the training gets the numbers. Steps follow from what one takes on this machine.

Every stage resumes: run the same command again. docs/proof.md says what each measure means.
"""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import yaml
from pydantic import ValidationError

from curation.files import write_json, write_text
from curation.progress import say
from curation.world.config import WorldConfig
from jobs.cli import DONE, TOO_MANY_REJECTED, main_verb
from jobs.config import Recipe, RecipeError
from jobs.demo import minutes, run_stage
from jobs.generate import find_checkpoint, newest_of, requests_of
from jobs.maker import Maker
from jobs.proving import budget
from jobs.proving.cases import EDIT, FEW, HELD_OUT, TEXT, can, cases, worlds
from jobs.proving.made import make, readings, reencoded, same_words
from jobs.proving.measures import Reading
from jobs.proving.page import Proof, card, lines, render
from jobs.proving.rows import rows
from jobs.proving.sent import metrics
from jobs.proving.truth import Truth
from jobs.tracked import send_numbers
from jobs.training.log import LOG
from model.geometry import Geometry

SECTIONS = ("prove", "world")
WORDS = {TEXT, HELD_OUT, *FEW}  # capabilities that are given nothing but words
ROUTE = ("world", "scan", "decide", "caption", "encode")


def run(recipe: Recipe, words: list[str]) -> int:
    """The whole proof. A target that is missed is a row of the table, not an error."""
    if words:
        raise RecipeError(f"prove takes no further words, got {words}")
    begun = time.monotonic()
    try:
        tests = worlds(recipe.world, recipe.prove.held_out, recipe.prove.seed)
    except ValidationError as error:
        raise RecipeError(f"prove.held_out: {error.errors()[0]['msg']}") from error
    recipe = recipe.model_copy(update={"world": tests.pop("train")})
    write_text(recipe.out / "recipe.yaml", yaml.safe_dump(recipe.model_dump(mode="json")))
    for stage in ROUTE:
        say(f"\nprove: {stage}")
        code = run_stage(stage, recipe)
        if code not in (DONE, TOO_MANY_REJECTED) or (code and stage == "decide"):
            return code
    names = [name for name in can(recipe.train.tasks) if name != HELD_OUT or HELD_OUT in tests]
    code, plan = planned(recipe, names, begun)
    if plan is None:
        return code
    plan = replace(plan, steps=recipe.prove.steps or plan.steps)
    say(f"\nprove: {plan.steps} steps of {plan.step_s:.2f} s, {plan.clips} clips a capability")
    code = run_stage("train", with_steps(recipe, plan.steps))
    if code:
        return code
    asked = {name: tests[HELD_OUT if name == HELD_OUT else TEXT] for name in names}
    proof = prove(with_steps(recipe, plan.steps), plan, asked)
    seconds = time.monotonic() - begun
    write_json(recipe.out / "proof.json", card(proof, recipe, plan, seconds))
    write_text(recipe.out / "proof.html", render(proof, recipe, plan, seconds))
    send_numbers(recipe, metrics(proof.rows), "prove")
    say("\n".join(lines(proof.rows)))
    say(f"prove: {minutes(seconds)}; {recipe.out / 'proof.html'}  (open it in a browser)")
    return DONE


def with_steps(recipe: Recipe, steps: int) -> Recipe:
    """The recipe whose training ends at a step."""
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"steps": steps})})


def planned(recipe: Recipe, names: list[str], begun: float) -> tuple[int, budget.Plan | None]:
    """What fits into the minutes: some first steps and a first clip tell.

    An earlier plan stays, or goes on where there are more minutes now.
    """
    path, log = recipe.out / "proof" / "plan.json", recipe.out / LOG
    total, most = recipe.prove.minutes, recipe.prove.clips
    if (plan := budget.kept_plan(path)) is not None:
        if plan.minutes != total:
            step_s = budget.step_seconds(log)
            plan = budget.prolonged(plan, total, step_s, most, len(names))
            budget.keep(path, plan)
        return DONE, plan
    say(f"\nprove: {recipe.prove.probe} steps, to see what one takes")
    start = time.monotonic()
    code = run_stage("train", with_steps(recipe, recipe.prove.probe))
    if code:
        return code, None
    took = time.monotonic() - start
    step_s = budget.step_seconds(log)
    untrained = recipe.out / "proof" / "untrained"
    newest = find_checkpoint(recipe)
    shutil.copytree(newest, untrained / newest.name, dirs_exist_ok=True)
    maker = Maker(untrained / newest.name, recipe.generate.device)
    start = time.monotonic()
    world = worlds(recipe.world, (), recipe.prove.seed)[TEXT]
    make(maker, recipe, cases(TEXT, world, 1, recipe.out / "proof" / "given"), clips_of(recipe))
    clip_s = time.monotonic() - start
    cost = step_s, clip_s, max(0.0, took - recipe.prove.probe * step_s)
    plan = budget.plan(total, time.monotonic() - begun, cost, most, len(names))
    budget.keep(path, plan)
    return DONE, plan


def clips_of(recipe: Recipe) -> Path:
    """Where the proof's clips are."""
    return recipe.out / "proof" / "clips"


def prove(recipe: Recipe, plan: budget.Plan, asked: dict[str, WorldConfig]) -> Proof:
    """Make and read the clips of all capabilities; `asked` are the worlds of their films."""
    folder = recipe.out / "proof"
    trained = Maker(find_checkpoint(recipe), recipe.generate.device)
    fresh = Maker(newest_of(folder / "untrained", "checkpoint"), recipe.generate.device)
    few = max(budget.FEWEST, plan.clips // budget.UNTRAINED)
    proof = Proof()
    perfect: dict[str, list[Reading]] = {}
    same: dict[str, list[tuple[Truth, Reading]]] = {}
    for name, world in asked.items():
        wanted = cases(name, world, plan.clips, folder / "given")
        clips = make(trained, recipe, wanted, clips_of(recipe))
        floor = make(fresh, recipe, wanted[:few], clips_of(recipe))
        of = name if name in (HELD_OUT, EDIT) else TEXT  # the rest asks for the same films
        if of not in perfect:
            perfect[of] = reencoded(wanted, trained.decoders, geometry(recipe, trained))
        if of not in same and name in WORDS:
            same[of] = same_words(world, wanted)
        read = {
            "made": readings(clips),
            "untrained": readings(floor),
            "reencoded": perfect[of],
        }
        told = same[of] if name in WORDS else ()
        proof.add(name, rows(name, clips, read, floor, told), clips, read["made"])
    return proof


def geometry(recipe: Recipe, maker: Maker) -> Geometry:
    """Of the clips that are made."""
    config = recipe.generate.model_copy(update={"count": 1, "prompt": "a ball falls"})
    (request,) = requests_of(config, recipe, maker)
    return request.geometry(maker.card)


if __name__ == "__main__":
    raise SystemExit(main_verb("prove"))
