"""Every column that a judge writes: its unit and meaning. Null means "not available".

"The picture" is the clip's without its bars, as the encode pass keeps it; shares are of that.
"""

from curation.scores import Score

COLUMNS: dict[str, dict[str, Score]] = {
    "text": {
        "text_area": Score("0…1", "share of the picture under text, mean over the stills"),
        "text_lines": Score("count", "lines of text, most in one still"),
        "text": Score("words", "the text as it was read, lines parted by |", text=True),
        "overlay_area": Score("0…1", "share under text that stands unchanged in every still"),
        "overlay_text": Score("words", "text that stands unchanged in every still", text=True),
    },
    "faces": {
        "faces": Score("count", "faces, most in one frame"),
        "face_share": Score("0…1", "share of frames with a face"),
        "face_area": Score("0…1", "largest face as a share of the picture, median over its track"),
        "face_tracks": Score("count", "people: face tracks seen in two frames or more"),
        "talking_face": Score("0 or 1", "a face large and lasting enough that its lips could tell"),
        "face_box": Score("shares", "left, top, width, height of the main face", text=True),
    },
    "safety": {
        "nsfw": Score("0…1", "open_nsfw, largest over the stills"),
    },
    "looks": {
        "brisque": Score("0…100", "BRISQUE, median over the stills: 0 clean, 100 spoilt"),
        "fine_detail": Score("levels²", "Laplacian variance at judge size, median over the stills"),
        "colourfulness": Score("levels", "Hasler & Süsstrunk 2003, median over the stills"),
        "aesthetic": Score("head's own", "aesthetic head over CLIP, mean; null without its files"),
    },
    "embed": {
        "embedding": Score("base64", "float16 unit vector of the stills' mean", text=True),
        "tags": Score("names", "five likeliest things seen, with probability", text=True),
        "tag_confidence": Score("0…1", "probability of the first tag"),
        "steadiness": Score("0…1", "cosine of first and last still's embeddings"),
    },
    "events": {
        "events": Score("names", "likeliest sounds of AudioSet, with probability", text=True),
        "sound_speech": Score("0…1", "share of the clip with speech"),
        "sound_singing": Score("0…1", "share with singing"),
        "sound_music": Score("0…1", "share with music"),
        "sound_effects": Score("0…1", "share with none of these but a sound event"),
        "sound_ambience": Score("0…1", "share with nothing but background"),
        "sound_silent": Score("0…1", "share below -60 dBFS"),
        "sound_class": Score(
            "name", "speech, singing, music, effects, ambience, silent", text=True
        ),
    },
    "voice": {
        "dnsmos_ovrl": Score("MOS 1…5", "DNSMOS P.835 overall, where there is speech"),
        "dnsmos_sig": Score("MOS 1…5", "DNSMOS P.835 of the speech itself"),
        "dnsmos_bak": Score("MOS 1…5", "DNSMOS P.835 of the background"),
    },
    "agree": {
        "av_agreement": Score("-1…1", "likeness in meaning of what is heard and seen (weak)"),
        "heard_as": Score("name", "the sound's meaning nearest to the picture's", text=True),
    },
    "lips": {
        "lip_offset_ms": Score("ms", "speech behind (+) or ahead (-) of the lips"),
        "lip_confidence": Score("sigmas", "how far the best offset stands above all others"),
        "lip_likeness": Score("-1…1", "likeness of lips and speech at that offset"),
        "lse_d": Score(
            "distance", "LSE-D, with a SyncNet-type network of yours: 0 one of the same"
        ),
        "lse_c": Score("distance", "LSE-C, with such a network: how far that stands out"),
        "lip_floor_ms": Score("ms", "resolution: one frame; a smaller offset means nothing"),
        "voice_over": Score("0 or 1", "speech is heard and no face is there that could say it"),
        "music_bed": Score("0 or 1", "music lies under half of the speech or more"),
    },
}
JUDGES = tuple(COLUMNS)
