"""How much a text looks like what people write: what tells an encoding when labels lie. Pure; no dictionary, no model.

Bytes read in a wrong encoding still give characters, but rare ones: Chinese read as Korean gives few syllables that
Koreans use, Russian read as Western gives accents without a letter beside them, Arabic read as Russian changes case
within words. So each character gets a weight for how usual it is where it stands, and a text the mean of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

# ---------------------------------------------------------------- what is usual

_HAN = (
    "的一是不了在人有我他这這个個們们中来來上大为為和国國地到以说說时時要就出会會可也你对對生能而子那得于於著着下自之年过過发發"
    "后後作里裡用道行所然家种種事成方多经經么麼去法学學如都同现現当當没沒动動面起看定天分还還进進好小部其些主样樣理心她本前开開"
    "但因只从從想实實日军軍者意无無力它与與长長把机機十民第公此已工使情明性知全三又关關点點正业業外将將两兩高间間由问問很最重"
    "并並物手应應战戰向头頭文体體政美相见見被利什二等产產或新己制身果加西斯月话話合回特代内內信表化老给給世位次度门門任常先海"
    "通教儿兒原东東声聲提立及比员員解水名真论論处處走义義各入几幾口认認条條平系气氣题題活尔爾更别別打女变變四神总總何电電数數"
    "安少报報才结結反受目太量再感建务務做接必场場件计計管期市直德资資命山金指克许許统統区區保至队隊形社便空决決治展马馬科司五"
    "基眼书書非则則听聽白却卻界达達光放强強即像难難且权權思王象完设設式色路记記南品住告类類求据據程北边邊死张張该該交规規万萬"
    "取拉格望觉覺术術领領共确確传傳师師观觀清今切院让讓识識候带帶导導争爭运運示官网網道台湾灣香港京聞闻"
)
_KANJI = (
    "日一国会人年大十二本中長出三同時政事自行社見月分議後前民生連五発間対上部東者党地合市業内相方四定今回新場金員九入選立開手米力"
    "学問高代明実円関決子動京全目表戦経通外最言氏現理調体化田当八六約主題下首意法不来作性的要用制治度務強気小七成期公野協取都和統"
    "以機平総加山思家話世受区領多県続進正安設保改数記院女初北午指権心界支第産結百派点教報済書府活原先共得解名交資予川向際査勝面委"
    "告軍文反元重近千考判認画海参売利組知案道信策集在件団別物側任引使求所次水半品昨論計死官増係感特情投示変打男基私各始島直両朝革価"
    "式確村提運終挙果西勢減台広容必応演電歳住争談能無再位置企真流格有疑口過局少放税検藤町常校料沢裁状工建語球営空職証土与急止送援供"
)
_HANGUL = (
    "이다의에는을가고한하지로사기도를은인대서자어시그해리정일수보부스나들라만전제주상있과국아장으것원동여구유조공성관오안"
    "면적했와우연비신경선거려진회중니위할까된게세계발생무법민년였습개소학당방실미치문식간말모명등내음저양물화용르터야요더"
    "점반통분불던차같없못생각많월추최근본력심건업체영남북남강급형집결교술품육임권운행현복설단될"
)
_KANA = frozenset(map(chr, (*range(0x3041, 0x3094), *range(0x30A1, 0x30F7), 0x30FB, 0x30FC)))
_EAST_ASIAN_MARKS = frozenset("，。、“”‘’：；（）《》「」『』！？—…·・～〜【】〈〉／％０１２３４５６７８９")
_MARKS = frozenset("«»“”‘’–—…·•№°©®™§€£,؛،؟\xa0")

_LETTERS = {  # script -> its letters from the most usual ones to the rarest, in four parts
    "cyrillic": ("оеаинтс", "рвлкі", "мдпуї", "яыьгзбчйхжшюцщэфъёєґў"),
    "arabic": ("اليمونرت", "بةعدسفهأ", "كقحجشصىک", "طخإئءضغذزثظآؤپچژگ"),
    "greek": ("αοιετσνη", "υρπκμςλό", "ίάγδήθέωχ", "βζξφψύώϊϋ"),
    "hebrew": ("יוהלארמתב", "שנדעחכק", "פםגטסןצ", "זךףץ"),
}
_WEIGHTS = (1.0, 0.8, 0.5, 0.25)
_CAPITAL = 0.8
_UNKNOWN = 0.75  # of scripts whose letters nobody weighed here: Thai, Armenian, Georgian
_RARE = 0.1  # a letter of the script that its languages hardly have
_WESTERN = frozenset("éèêëàâäáãåçñöóôõøüúûíîïìòùßæœÿ")
_UNREADABLE = -5.0
_SQUEEZED_COST = 1.3

_WORD = re.compile(r"[^\W\d_]+")
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_SQUEEZED = re.compile(r"(?<=[a-z])[^\x00-\x7f](?![^\x00-\x7f])|(?<![^\x00-\x7f])[^\x00-\x7f](?=[a-z])")
_CROWD = re.compile(r"[^\x00-\x7f]{4,}")
_CASE_BREAK = re.compile(
    "[a-z\xdf-\xf6\xf8-\xff\u03ac-\u03ce\u0430-\u045f][A-Z\xc0-\xd6\xd8-\xde\u0386-\u03ab\u0400-\u042f]"
)


@cache
def _script(character: str) -> str:
    code = ord(character)
    for script, first, last in (
        ("latin", 0xAA, 0x24F),
        ("greek", 0x370, 0x3FF),
        ("cyrillic", 0x400, 0x52F),
        ("hebrew", 0x590, 0x5FF),
        ("arabic", 0x600, 0x6FF),
    ):
        if first <= code <= last:
            return script
    return "other"


@cache
def _letter_weights() -> Mapping[str, float]:
    """Letters of alphabets, in lower case."""
    return {
        letter: weight
        for tiers in _LETTERS.values()
        for weight, letters in zip(_WEIGHTS, tiers, strict=True)
        for letter in letters
    }


def _rows(encoding: str, first: int, last: int, low: int = 0xA1, high: int = 0xFE) -> str:
    pairs = b"".join(bytes((lead, trail)) for lead in range(first, last + 1) for trail in range(low, high + 1))
    return pairs.decode(encoding, "ignore")


@cache
def _east_asian_weights(encoding: str) -> Mapping[str, float] | None:
    """How usual the characters of an encoding of East Asia are in it; None: it is another one.

    All these character sets have the usual ones in their first part (level 1), by sound or by strokes.
    """
    marks = dict.fromkeys(_EAST_ASIAN_MARKS, 0.7)
    if encoding == "gb18030":
        traditional = dict.fromkeys(_rows("big5", 0xA4, 0xC6, 0x40), 0.2)
        usual = dict.fromkeys(_rows("gb2312", 0xB0, 0xD7), 0.4)
        return traditional | usual | dict.fromkeys(_HAN, 1.0) | dict.fromkeys(_KANA, 0.15) | marks
    if encoding == "big5hkscs":
        return dict.fromkeys(_rows("big5", 0xA4, 0xC6, 0x40), 0.4) | dict.fromkeys(_HAN, 1.0) | marks
    if encoding in {"cp932", "euc_jp"}:
        kanji = dict.fromkeys(_rows("euc_jp", 0xB0, 0xCF), 0.35) | dict.fromkeys(_KANJI, 0.9)
        return kanji | dict.fromkeys(_KANA, 1.0) | marks
    if encoding == "cp949":
        return dict.fromkeys(_rows("euc_kr", 0xB0, 0xC8), 0.4) | dict.fromkeys(_HANGUL, 1.0) | marks
    return None


# ---------------------------------------------------------------- a text


def plainness(text: str, encoding: str) -> float:
    """How usual a text's characters outside ASCII are, as a mean: about 1 for plain text, below 0 for noise; 0: none.

    Args:
        text: As read in this encoding, U+FFFD for what could not be.
        encoding: Python's name of the codec.
    """
    foreign = _FOREIGN.findall(text)
    if not foreign:
        return 0.0
    weights = _east_asian_weights(encoding)
    if weights is not None:
        squeezed = len(_SQUEEZED.findall(text))
        return (sum(weights.get(one, _unusual(one)) for one in foreign) - _SQUEEZED_COST * squeezed) / len(foreign)
    inside = sum(_word_weight(word) for word in _WORD.findall(text))
    outside = sum(_mark_weight(one) for one in foreign if not one.isalpha())
    crowds = sum(len(crowd) for crowd in _CROWD.findall(text) if any(_is_latin(one) for one in crowd))
    return (inside + outside - crowds) / len(foreign)


def _unusual(character: str) -> float:
    """A character that is not among those usual for its encoding of East Asia."""
    if character == "\ufffd" or "\ue000" <= character <= "\uf8ff":  # for private use
        return _UNREADABLE
    if "\u4e00" <= character <= "\u9fff" or "\uac00" <= character <= "\ud7af":
        return 0.0
    return -0.5  # half-width kana, other alphabets, symbols


def _is_latin(character: str) -> bool:
    return character.isalpha() and _script(character) == "latin"


def _mark_weight(character: str) -> float:
    if character == "\ufffd" or "\x80" <= character <= "\x9f":
        return _UNREADABLE
    if "\u0e00" <= character <= "\u0e7f":  # vowels and tones that stand above and below Thai letters
        return _UNKNOWN
    return 0.5 if character in _MARKS else -0.5


def _word_weight(word: str) -> float:
    """All of a word's letters outside ASCII together."""
    letters = _FOREIGN.findall(word)
    scripts = {_script(letter) for letter in letters}
    if scripts == {"latin"}:
        return _latin_weight(word, letters)
    if len(scripts) > 1 or len(letters) < len(word):  # letters of several alphabets in a word
        return -0.5 * len(letters)
    if scripts == {"other"}:
        return _UNKNOWN * len(letters)
    if breaks := len(_CASE_BREAK.findall(word)):
        return -float(breaks)
    weights = _letter_weights()
    return sum(weights.get(letter.lower(), _RARE) * (_CAPITAL if letter.isupper() else 1) for letter in letters)


def _latin_weight(word: str, letters: list[str]) -> float:
    """Accents stand among plain letters, few at a time, and in the middle of a word they are not capitals."""
    if len(word) == 1:
        return 0.9 if word.lower() in _WESTERN else 0.0
    if len(letters) * 2 > len(word):
        return (-0.5 if len(letters) == len(word) else 0.3) * len(letters)
    usual = sum(0.9 if letter.lower() in _WESTERN else 0.85 for letter in letters)
    return usual - len(_CASE_BREAK.findall(word))
