# SPDX-License-Identifier: Apache-2.0
"""Build of tracekws._core, the C core through cffi; its declarations come from the public headers.

The numbers of the device protocol come along, from the application's headers.

Set TRACEKWS_SANITIZE=1 to build with the address and undefined-behaviour sanitizers.
"""

import os
import re
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "firmware" / "core"
APP = ROOT / "firmware" / "app"
HEADERS = (
    "errors",
    "version",
    "rng",
    "crc32",
    "frontend",
    "name",
    "model",
    "takes",
    "own",
    "convolution",
    "network",
    "templates",
    "learner",
    "softmax",
    "segmenter",
    "detector",
    "recognizer",
)

PROTOCOL = ("protocol.h", "frame.h", "requests.def")

# Only the host needs texts for errors: a device sends numbers.
ERROR_TABLE = """
typedef struct { int number; const char *name; const char *text; } tkws_error_entry;
static const tkws_error_entry tkws_error_table[] = {
#define TKWS_ERROR(number, name, text) {number, #name, text},
#include "tracekws/errors.def"
#undef TKWS_ERROR
};
static const int tkws_error_count = sizeof tkws_error_table / sizeof tkws_error_table[0];
"""
ERROR_TABLE_CDEF = """
typedef struct { int number; const char *name; const char *text; } tkws_error_entry;
static const tkws_error_entry tkws_error_table[];
static const int tkws_error_count;
"""

# Loops over many frames or steps: a call for each from Python would be most of the time.
BATCHES_CDEF = """
int batch_steps(tkws_network *network, tkws_learner *learner, tkws_templates *templates,
                const int8_t *features, size_t n_steps, int32_t *scores, int32_t *cosines,
                uint8_t *spikes);
void batch_energies(const int16_t *pcm, size_t n_clips, size_t n_samples, uint64_t *energies);
void batch_normalise(const tkws_frontend *rested, size_t n_clips, size_t n_frames,
                         const uint64_t *energies, int8_t *features);
"""
BATCHES = """
#include <string.h>

/* Run a network over features, by its learner where there is one, compared with templates where
 * there are any. Scores of every step (rows of n_classes), cosines (of tkws_model_words()), and
 * ones where a neuron spikes (of n_neurons, zero before), are written where they are not NULL. */
static int batch_steps(tkws_network *network, tkws_learner *learner, tkws_templates *templates,
                       const int8_t *features, size_t n_steps, int32_t *scores, int32_t *cosines,
                       uint8_t *spikes)
{
    const tkws_model_header *h = &network->model->header;
    for (size_t step = 0; step < n_steps; step++, features += TKWS_FEATURES) {
        int error = TKWS_OK;
        if (learner != NULL)
            error = tkws_learner_step(learner, features);
        else
            tkws_network_step(network, features);
        if (error != TKWS_OK)
            return error;
        if (templates != NULL)
            tkws_templates_step(templates, network);
        if (scores != NULL)
            tkws_network_scores(network, scores + step * h->n_classes);
        if (scores != NULL && templates != NULL)
            tkws_templates_add(templates, scores + step * h->n_classes);
        for (size_t k = 0; cosines != NULL && k < tkws_model_words(network->model); k++)
            *cosines++ = tkws_templates_cosine(templates, k);
        for (size_t k = 0; spikes != NULL && k < network->n_spikes; k++)
            spikes[step * h->n_neurons + network->spikes[k]] = 1;
    }
    return TKWS_OK;
}

/* A frame that finds no means sets them to its own energies. */
static void batch_energies(const int16_t *pcm, size_t n_clips, size_t n_samples,
                               uint64_t *energies)
{
    tkws_frontend frontend;
    size_t n_consumed;
    int8_t features[TKWS_FEATURES];
    for (size_t clip = 0; clip < n_clips; clip++, pcm += n_samples) {
        (void)tkws_frontend_init(&frontend, 0, 1, 1, 1);
        size_t at = 0;
        for (size_t end = TKWS_WINDOW; end <= n_samples; end += TKWS_HOP) {
            frontend.has_mean = 0;
            while (at < end) {
                (void)tkws_frontend_push(&frontend, pcm + at, end - at, &n_consumed, features);
                at += n_consumed;
            }
            memcpy(energies, frontend.mean, sizeof frontend.mean);
            energies += TKWS_CHANNELS;
        }
    }
}

static void batch_normalise(const tkws_frontend *rested, size_t n_clips, size_t n_frames,
                                const uint64_t *energies, int8_t *features)
{
    for (size_t clip = 0; clip < n_clips; clip++) {
        tkws_frontend frontend = *rested;
        for (size_t frame = 0; frame < n_frames; frame++) {
            tkws_frontend_normalise(&frontend, energies, features);
            energies += TKWS_CHANNELS;
            features += TKWS_CHANNELS;
        }
    }
}
"""


def declarations(header: str) -> str:
    """The declarations of one public header as cffi reads them: no bodies, no directives."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    text = re.sub(r"#ifdef __cplusplus\n.*?#endif\n", "", text, flags=re.DOTALL)
    text = text.replace("\\\n", " ")
    text = re.sub(r"static inline [^{;]*\{.*?\n\}", "", text, flags=re.DOTALL)
    constants = re.findall(r"#define (TKWS_\w+ \w+)", text)
    text = re.sub(r"#include \"tracekws/errors.def\"", "", text)
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    text = re.sub(r"enum \{\s*TKWS_OK = 0,\s*\};", "", text)
    return "\n".join(f"#define {constant}" for constant in constants) + "\n" + text


def protocol_numbers() -> str:
    """Every number of the device protocol, whose value the compiler tells."""
    text = "".join((APP / name).read_text() for name in PROTOCOL)
    names = re.findall(r"^#define TKWS_APP_(\w+) +[\w(]", text, flags=re.MULTILINE)
    names += re.findall(r"^    TKWS_APP_(\w+) = \w", text, flags=re.MULTILINE)
    names += re.findall(r"^TKWS_REQUEST\(\w+, (\w+),", text, flags=re.MULTILINE)
    return "\n".join(f"#define TKWS_APP_{name} ..." for name in names)


def cdef() -> str:
    """All declarations of the core, and the protocol's numbers."""
    parts = [
        declarations((CORE / "include" / "tracekws" / f"{name}.h").read_text()) for name in HEADERS
    ]
    return "\n".join([*parts, ERROR_TABLE_CDEF, protocol_numbers(), BATCHES_CDEF])


flags = ["-std=c11", "-O3", "-Wall", "-Wextra"]
links: list[str] = []
if os.environ.get("TRACEKWS_SANITIZE") == "1":
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    flags = ["-std=c11", "-O1", "-g", "-fno-omit-frame-pointer", *sanitize]
    links = sanitize

ffi = FFI()
ffi.cdef(cdef())
ffi.set_source(
    "tracekws._core",
    "\n".join(f'#include "tracekws/{name}.h"' for name in HEADERS)
    + '\n#include "protocol.h"\n'
    + ERROR_TABLE
    + BATCHES,
    # setuptools wants paths relative to setup.py
    sources=[str(p.relative_to(ROOT)) for p in sorted((CORE / "src").glob("*.c"))],
    include_dirs=[str(p.relative_to(ROOT)) for p in (CORE / "include", APP)],
    depends=[
        str(p.relative_to(ROOT))
        for p in (*sorted(CORE.rglob("*.[hd]*")), *(APP / name for name in PROTOCOL))
    ],
    extra_compile_args=flags,
    extra_link_args=links,
    py_limited_api=True,
)
