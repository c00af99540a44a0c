"""The names of months in the languages that news is written in."""

from __future__ import annotations

# Full and short names, nominative and genitive, case-folded, without the dot of an abbreviation.
# Source: Unicode CLDR 47, Gregorian calendar. Where languages share a name for two months, the larger one has it:
# Polish "lip" and "lis", "listopad" (Croatian has October), Czech "srp" (Croatian has July).
_NAMES = (
    """jan january januar januari janvier janv januarie januára január jänner jaan jaanuar janeiro janúar janvāris
    januarja januara ene enero gen gennaio gener ian ianuarie led leden ledna oca ocak saus sausio sausis sij
    siječanj siječnja sty styczeń stycznia tammi tammikuu tammikuuta urt urtarrila xan xaneiro yan yanvar ιαν
    ιανουάριοσ ιανουαρίου січ січень січня янв январь января яну януари јан јануар јануари ינואר يناير ژانویه
    जनवरी""",
    """feb february febr febrer febrero februar februari februarie február februára februāris febrúar fev fevereiro
    févr fév février febbraio febreiro helmi helmikuu helmikuuta lut luty lutego ots otsaila shk shkurt vas
    vasario vasaris veebr veebruar velj veljača veljače úno únor února şub şubat φεβ φεβρουάριοσ φεβρουαρίου лют
    лютий лютого феб фебруар фев февр февраль февраля февруари פברואר فبراير فوریه फ़रवरी""",
    """mar march mars märz marzo marec marca março mart mret maret marts marz mac maart mrt március márc märts már mär
    martie martxoa marzec bře březen března kov kovas kovo maalis maaliskuu maaliskuuta ožu ožujak ožujka μάρ
    μάρτιοσ μαρ μαρτίου бер березень березня март марта מרץ مارس मार्च""",
    """apr april aprile abr abril avr avril aprilie apríl apríla aprīlis aprill aprel apirila ápr április bal balandis
    balandžio dub duben dubna huhti huhtikuu huhtikuuta kwi kwiecień kwietnia nis nisan pri prill tra travanj
    travnja απρ απρίλιοσ απριλίου апр апрель апреля април квіт квітень квітня אפריל أبريل آوریل अप्रैल""",
    """may mai mayo maj mei maggio mag maio mayıs máj mája május maí maja maig maijs maiatza geg gegužė gegužės kvě
    květen května svi svibanj svibnja touko toukokuu toukokuuta μάι μάιοσ μαΐου май мая мај трав травень травня
    מאי مايو مه मई""",
    """jun june juni juin junio junho jún június júna júní jūn jūnijs junij junija juuni juny iun iunie giu giugno birž
    birželio birželis cze czerwiec czerwca eka ekaina haz haziran iyn iyun kesä kesäkuu kesäkuuta lipanj lipnja
    qer qershor xuño červen června čvn ιουν ιουνίου ιούν ιούνιοσ июн июнь июня черв червень червня юни јун јуни
    יוני يونيو ژوئن जून""",
    """jul july juli juil juillet julio julho júl július júla júlí jūl jūlijs julij julija juuli iul iulie lug luglio
    heinä heinäkuu heinäkuuta korr korrik liep liepa liepos lip lipiec lipca srpanj srpnja tem temmuz uzt
    uztaila xul xullo iyl iyul července červenec čvc ιουλ ιουλίου ιούλ ιούλιοσ июл июль июля липень липня юли
    јул јули יולי يوليو ژوئیه जुलाई""",
    """aug august août agosto agustus augustus augusti ago agu agost augusta augusts augusztus avg avgust avgusta
    avqust ağu ağustos abu abuztua elo elokuu elokuuta gush gusht kol kolovoz kolovoza rugp rugpjūtis rugpjūčio
    sie sierpień sierpnia srp srpen srpna ágú ágúst αυγ αυγούστου αύγ αύγουστοσ авг август августа серп серпень
    серпня אוגוסט أغسطس اوت अगस्त""",
    """sep sept september septembre septiembre setembro settembre septembrie szept szeptember septembra septembris set
    setembre setiembre sentyabr eyl eylül ira iraila rugs rugsėjis rugsėjo ruj rujan rujna sht shtator syys
    syyskuu syyskuuta wrz wrzesień września zář září σεπ σεπτέμβριοσ σεπτεμβρίου вер вересень вересня сен сент
    сентябрь сентября сеп септембар септември ספטמבר سبتمبر سپتامبر सितंबर""",
    """oct october okt oktober octobre octubre outubro ottobre octombrie október októbra oktobra oktobris oktoober
    oktyabr out ott eki ekim loka lokakuu lokakuuta paź październik października spal spalio spalis tet tetor
    urr urria říj říjen října οκτ οκτωβρίου οκτώβριοσ жовт жовтень жовтня окт октобар октомври октябрь октября
    אוקטובר أكتوبر اکتبر अक्टूबर""",
    """nov november novembre noviembre novembro noiembrie novembra novembris noyabr nóv nóvember kas kasım lapkr
    lapkritis lapkričio lis listopad listopada listopadu marras marraskuu marraskuuta nën nëntor stu studeni
    studenoga aza azaroa νοέ νοέμβριοσ νοε νοεμβρίου лист листопад листопада ноя нояб ноябрь ноября нов новембар
    ное ноември נובמבר نوفمبر نوامبر नवंबर""",
    """dec december dez dezember décembre déc dic diciembre dicembre dezembro decembrie decembra decembris des desember
    desembre detsember dekabr ara aralık abe abendua dhj dhjetor gru grudzień grudnia gruod gruodis gruodžio
    joulu joulukuu joulukuuta pro prosinac prosinca prosinec prosince δεκ δεκέμβριοσ δεκεμβρίου груд грудень
    грудня дек декабрь декабря дец децембар декември דצמבר ديسمبر دسامبر दिसंबर""",
)
MONTHS = {name: number for number, names in enumerate(_NAMES, 1) for name in names.split()}
