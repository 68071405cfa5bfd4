"""Frozen text encoders: a sentence encoder, or a Transformer trained on the shop's own text.

That they are frozen is our choice [D]: two cores have to suffice. A text's vector then depends on nothing but the text,
so it is computed once and kept by content, and the towers learn how to project it.

| kind | what it is | trained |
| --- | --- | --- |
| ``minilm`` | all-MiniLM-L6-v2, 384 wide, from an installed package whose hash is checked | by others |
| ``e5`` | multilingual-e5-small, 384 wide, about 100 languages, out of an installed package | by others |
| ``t5`` | the encoder of a T5 that writes the query an item is ordered by (UEPPR) | ``pretraining`` |
| ``mlm`` | a 4-layer BERT that fills gaps in titles, descriptions and queries (MMSE) | ``pretraining`` |

``auto`` is ``e5`` where few of the shop's words are English, else ``minilm``.

Queries are read in int8, a tenth of the time (``int8_bert`` has the figures). ESCI's titles alone give MiniLM a
recall@100 of .854; brand in front .857, brand and description behind .853 (neither is told from chance), bullet points
behind .865 (+.011 +- .011) for four times the work: so an item's text is its title.
"""

from training.text.cache import embed
from training.text.encoder import TextEncoder
from training.text.errors import TextEncoderError
from training.text.item_text import item_texts
from training.text.loading import AS_IT_COMES, load_saved, load_text_encoder, minilm, sentence_encoder

__all__ = [
    "AS_IT_COMES",
    "TextEncoder",
    "TextEncoderError",
    "embed",
    "item_texts",
    "load_saved",
    "load_text_encoder",
    "minilm",
    "sentence_encoder",
]
