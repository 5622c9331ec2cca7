"""One spelling of what corpora write in many ways: cells without a value, names of speakers, tags of languages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache

#: what tables write into a cell that holds nothing, in small letters
NO_VALUE = frozenset(["", "-", "--", "na", "n/a", "n.a.", "#n/a", "<na>", "nan", "nat", "none", "null", "undefined", "unknown"])
#: ISO 639-1 code, its ISO 639-3 and 639-2 codes, and names
_LANGUAGES = """
af afr afrikaans; ak aka akan; am amh amharic; ar ara arb arabic; as asm assamese; az aze azerbaijani
be bel belarusian; bg bul bulgarian; bn ben bengali bangla; bo bod tib tibetan; br bre breton; bs bos bosnian
ca cat catalan; cs ces cze czech; cy cym wel welsh; da dan danish; de deu ger german; el ell gre greek
en eng english; eo epo esperanto; es spa spanish castilian; et est ekk estonian; eu eus baq basque
fa fas per pes persian farsi; fi fin finnish; fo fao faroese; fr fra fre french; ga gle irish; gd gla gaelic
gl glg galician; gu guj gujarati; ha hau hausa; he heb iw hebrew; hi hin hindi; hr hrv croatian
ht hat haitian; hu hun hungarian; hy hye arm armenian; id ind in indonesian; ig ibo igbo; is isl ice icelandic
it ita italian; ja jpn japanese; jv jav javanese; ka kat geo georgian; kk kaz kazakh; km khm khmer
kn kan kannada; ko kor korean; ku kur kurdish; ky kir kyrgyz; la lat latin; lb ltz luxembourgish; lg lug ganda
ln lin lingala; lo lao; lt lit lithuanian; lv lav lvs latvian; mg mlg malagasy; mi mri mao maori
mk mkd mac macedonian; ml mal malayalam; mn mon mongolian; mr mar marathi; ms msa may zsm malay
mt mlt maltese; my mya bur burmese; nb nob bokmål; ne nep nepali; nl nld dut dutch flemish; nn nno nynorsk
no nor norwegian; ny nya chichewa; oc oci occitan; om orm oromo; or ori odia oriya; pa pan punjabi panjabi
pl pol polish; ps pus pashto; pt por portuguese; ro ron rum romanian; ru rus russian; rw kin kinyarwanda
sa san sanskrit; sd snd sindhi; si sin sinhala; sk slk slo slovak; sl slv slovenian slovene; sn sna shona
so som somali; sq sqi alb albanian; sr srp serbian; su sun sundanese; sv swe swedish; sw swa swh swahili
ta tam tamil; te tel telugu; tg tgk tajik; th tha thai; ti tir tigrinya; tk tuk turkmen; tl tgl tagalog
tn tsn tswana; tr tur turkish; tt tat tatar; ug uig uyghur; uk ukr ukrainian; ur urd urdu; uz uzb uzbek
vi vie vietnamese; wo wol wolof; xh xho xhosa; yi yid yiddish; yo yor yoruba; zh zho chi cmn chinese mandarin
zu zul zulu
"""
#: codes of ISO 639 that name none
_NO_LANGUAGE = ("mis", "mul", "zxx")
_TAGS = {word: words.split()[0] for words in re.split("[;\n]", _LANGUAGES.strip()) for word in words.split()}


def written(text: str) -> str:
    """A cell's text in one form of Unicode (NFC), without space around it; "" for one that holds no value.

    >>> written(" anna "), written("NaN"), written("<NA>")
    ('anna', '', '')
    """
    found = unicodedata.normalize("NFC", text.replace("\ufeff", "").replace("\u200b", "")).strip()
    return "" if found.casefold() in NO_VALUE else found


@lru_cache
def language_tag(text: str) -> str:
    """The ISO 639 code of a language: of its code, of a tag with a region, or of its English name; "" for what names none.

    A code of two or three letters that is not in the table stays: it may be a rarer language, or a made-up one.

    >>> [language_tag(each) for each in ("DE", "de-AT", "deu", "German", "xa", "Deutsch")]
    ['de', 'de', 'de', 'de', 'xa', '']
    """
    primary = re.split("[-_]", written(text).casefold(), maxsplit=1)[0].strip()
    code = re.fullmatch("[a-z]{2,3}", primary) and primary not in _NO_LANGUAGE
    return _TAGS.get(primary) or (primary if code else "")


@lru_cache(4096)
def spelling_key(name: str) -> str:
    """What is left of a name without case, punctuation and leading zeros: equal for names that may be one.

    >>> spelling_key("S01") == spelling_key("s_1") == spelling_key("s 1"), spelling_key("s10") == spelling_key("s1")
    (True, False)
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    numbers = re.sub(r"^(\d+)\.0$", r"\1", folded.strip())
    parts = re.findall(r"\d+|[^\W\d_]+", numbers)
    return " ".join(part.lstrip("0") or "0" if part.isdecimal() else part for part in parts) or folded


#: other names under which tables have their columns
_COLUMNS = {
    "path": ("file", "filename", "file_name", "file_id", "filepath", "file_path", "audio", "wav"),
    "emotion": ("label", "emotion_label", "category", "class", "target"),
    "speaker": ("speaker_id", "speakerid", "spk", "spk_id", "actor", "subject"),
    "language": ("lang", "locale"),
    "start": ("begin", "onset"),
    "end": ("stop", "offset"),
}


def other_names(columns: Collection[str]) -> dict[str, str]:
    """Column -> the one of a table's columns, in lower case, that stands for it under another name.

    >>> other_names(["file", "spk", "start"])
    {'path': 'file', 'speaker': 'spk'}
    """
    missing = {name: [other for other in others if other in columns] for name, others in _COLUMNS.items() if name not in columns}
    return {name: others[0] for name, others in missing.items() if others}
