"""The report as a stranger opens it: in a browser, without a network, in light and in dark."""

import asyncio

import pytest

from jobs.report.facts import gather
from jobs.report.page import render
from tests.jobs.report.browser import find_browser, tab
from tests.jobs.report.run import build, train

WILD = (
    "</style></script><script>window.hurt=1</script>\"'><img src=http://127.0.0.1:9/x "
    "onerror=window.hurt=1><b style=position:fixed>&lt;"
)
VISIBLE = "[...document.querySelectorAll('{}')].filter(e => e.offsetParent !== null).length"
PLAY = """(async () => {
  const video = document.querySelector('.card video');
  if (!video.canPlayType('video/mp4; codecs="avc1.42E01E, mp4a.40.2"')) return [64, true];
  video.muted = true;
  await video.play();
  await new Promise(done => setTimeout(done, 400));
  return [video.videoWidth, video.currentTime > 0, video.error];
})()"""
PICTURES = """(async () => {
  const all = [...document.querySelectorAll('img')];
  await Promise.all(all.map(picture => picture.decode()));
  return all.every(picture => picture.naturalWidth > 0) ? all.length : 0;
})()"""

pytestmark = pytest.mark.skipif(not find_browser(), reason="no Chromium or Chrome on the path")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A whole run whose every text is hostile."""
    recipe = build(tmp_path_factory.mktemp("run"), WILD, films=3)
    train(recipe, WILD)
    path = recipe.out / "report.html"
    path.write_text(render(gather(recipe))[0])
    return path


def test_a_stranger_can_say_why_a_clip_was_dropped(page):
    """A page that asks the network, runs a text, loses its style or its media, or filters wrong."""

    async def look():
        async with tab(find_browser()) as browser:
            await browser.open(page, 1400, "light")
            found = {
                "pictures": await browser.value(PICTURES),
                "video": await browser.value(PLAY),
                "hurt": await browser.value("window.hurt === undefined"),
                "fixed": await browser.value(
                    "[...document.querySelectorAll('*')].filter(e => "
                    "getComputedStyle(e).position === 'fixed').length"
                ),
                "styled": await browser.value("getComputedStyle(document.body).backgroundColor"),
                "all": await browser.value(VISIBLE.format(".card")),
            }
            await browser.value("document.querySelector('label[for=f-dropped]').click()")
            found["dropped"] = await browser.value(VISIBLE.format(".card"))
            found["why"] = await browser.value(
                "document.querySelector('.card.k-dropped .reason').innerText"
            )
            return found, browser.requests(), browser.complaints()

    found, requests, complaints = asyncio.run(look())
    assert found["pictures"] >= 9
    assert found["video"][:2] == [64, True]
    assert found["hurt"]
    assert found["fixed"] == 0
    assert found["styled"] == "rgb(251, 250, 247)"
    assert (found["all"], found["dropped"]) == (3, 1)
    assert found["why"] == "frozen_share: frozen_share 0.9 > 0.6"
    assert [url for url in requests if not url.startswith(("data:", page.as_uri()))] == []
    assert complaints == []


def test_it_fits_a_telephone_in_the_dark(page):
    """A page wider than a small screen, or black on black."""

    async def look():
        async with tab(find_browser()) as browser:
            await browser.open(page, 400, "dark")
            return (
                await browser.value("document.documentElement.scrollWidth"),
                await browser.value("getComputedStyle(document.body).backgroundColor"),
                await browser.value("getComputedStyle(document.body).color"),
            )

    width, paper, ink = asyncio.run(look())
    assert width <= 400
    assert (paper, ink) == ("rgb(23, 22, 20)", "rgb(236, 232, 223)")
