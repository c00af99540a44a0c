"""What language a text is in: declared, unless the text speaks against it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from worker.extract.language import SAMPLE, language_of

# The same small report in each, so that only the language differs.
TEXTS = {
    "af": "Die hawe van die stad is op Dinsdag weer oop, nadat die werk byna een jaar lank geduur het. Die mense wat daar woon, sê dat hulle bly is en dat dit vir almal goed sal wees.",
    "ca": "El port de la ciutat va obrir dimarts després de gairebé un any de feina. Els veïns que hi viuen diuen que estan contents i que això és bo per a tots els que han esperat tant.",
    "cs": "Přístav ve městě byl v úterý znovu otevřen po téměř roce práce. Lidé, kteří tam žijí, říkají, že jsou rádi a že to je dobré pro všechny, ale také se ptají, kdo to bude platit.",
    "da": "Byens havn åbnede igen tirsdag efter næsten et års arbejde. De mennesker, der bor ved havnen, siger, at de er glade, og at det er godt for alle, men de spørger også, hvad det har kostet.",
    "de": "Der Hafen der Stadt ist am Dienstag nach fast einem Jahr Arbeit wieder geöffnet worden. Die Menschen, die dort leben, sagen, dass sie froh sind und dass es für alle gut ist, auch wenn es noch nicht fertig ist.",
    "en": "The harbour of the city opened again on Tuesday after almost a year of work. The people who live there say that they are glad and that it will be good for all of them, but they also ask what it has cost.",
    "es": "El puerto de la ciudad volvió a abrir el martes después de casi un año de obras. Los vecinos que viven allí dicen que están contentos y que es bueno para todos, pero también preguntan cuánto ha costado.",
    "et": "Linna sadam avati teisipäeval uuesti, kui töö oli kestnud ligi aasta. Inimesed, kes seal elavad, ütlevad, et nad on rõõmsad ja et see on kõigile hea, aga nad küsivad ka, mida see kõik on maksnud.",
    "fi": "Kaupungin satama avattiin tiistaina uudelleen, kun työ oli kestänyt melkein vuoden. Ihmiset, jotka asuvat siellä, sanovat että he ovat iloisia ja että se on hyvä kaikille, mutta he myös kysyvät mitä se on maksanut.",
    "fr": "Le port de la ville a rouvert mardi après presque un an de travaux. Les habitants qui vivent dans le quartier disent qu’ils sont contents et que c’est une bonne chose pour tous, mais ils demandent aussi ce que cela a coûté.",
    "hr": "Luka u gradu ponovno je otvorena u utorak nakon gotovo godinu dana rada. Ljudi koji tamo žive kažu da su sretni i da je to dobro za sve, ali pitaju i što će biti kada prođe ljeto te tko će to platiti.",
    "hu": "A város kikötője kedden újra megnyílt, miután csaknem egy évig tartott a munka. Az emberek, akik ott laknak, azt mondják, hogy örülnek, és ez mindenkinek jó, de azt is kérdezik, hogy mennyi volt az ára.",
    "id": "Pelabuhan di kota itu dibuka lagi pada hari Selasa setelah hampir satu tahun. Orang yang tinggal di sana mengatakan bahwa mereka senang dan ini baik untuk semua, tetapi mereka juga bertanya karena biaya yang tidak sedikit.",
    "is": "Höfnin í bænum var opnuð á ný á þriðjudag eftir að vinna hafði staðið í nær eitt ár. Fólk sem býr þar segir að það sé glatt og að þetta sé gott fyrir alla, en það spyr einnig hvað það hefur kostað.",
    "it": "Il porto della città ha riaperto martedì dopo quasi un anno di lavori. Le persone che vivono nel quartiere dicono di essere contente e che è un bene per tutti, ma chiedono anche quanto sono costati i lavori.",
    "lt": "Miesto uostas antradienį vėl atidarytas po beveik metus trukusių darbų. Žmonės, kurie ten gyvena, sako, kad jie yra laimingi ir kad tai yra gerai visiems, bet jie taip pat klausia, kiek tai kainavo.",
    "lv": "Pilsētas osta otrdien atkal tika atvērta pēc gandrīz gadu ilga darba. Cilvēki, kas tur dzīvo, saka, ka viņi ir priecīgi un ka tas ir labi visiem, bet viņi arī jautā, cik tas ir maksājis.",
    "nb": "Havnen i byen åpnet igjen tirsdag etter nesten ett års arbeid. Folk som bor ved havnen, sier at de er glade og at det er bra for alle, men de spør også hva det har kostet og når noe mer skal bli gjort nå.",
    "nl": "De haven van de stad is dinsdag weer open na bijna een jaar werk. De mensen die er wonen, zeggen dat ze blij zijn en dat het voor iedereen goed is, maar ze vragen ook wat het heeft gekost.",
    "pl": "Port w mieście został we wtorek ponownie otwarty po prawie roku prac. Ludzie, którzy tam mieszkają, mówią, że są zadowoleni i że jest to dobre dla wszystkich, ale pytają też, ile to będzie kosztować.",
    "pt": "O porto da cidade reabriu na terça-feira depois de quase um ano de obras. As pessoas que vivem ali dizem que estão contentes e que isso é bom para todos, mas também perguntam quanto é que foi gasto.",
    "ro": "Portul orașului s-a redeschis marți după aproape un an de lucrări. Oamenii care locuiesc acolo spun că sunt bucuroși și că este bine pentru toți, dar întreabă și cât au costat lucrările.",
    "sk": "Prístav v meste bol v utorok znovu otvorený po takmer roku práce. Ľudia, ktorí tam žijú, hovoria, že sú radi a že je to dobré pre všetkých, ale pýtajú sa aj, čo to bude stáť a ako sa to zaplatí.",
    "sl": "Pristanišče v mestu so v torek po skoraj letu dni del spet odprli. Ljudje, ki tam živijo, pravijo, da so veseli in da je to dobro za vse, a sprašujejo tudi, kaj bo to stalo in kdo bo plačal.",
    "so": "Dekedda magaalada ayaa la furay maalintii Talaadada ka dib markii shaqo socotay muddo. Dadka ku nool halkaas ayaa sheegay in ay ku faraxsan yihiin oo ay u fiican tahay dadka kale, waxa ay weydiiyeen sida loo bixiyay.",
    "sq": "Porti i qytetit u hap përsëri të martën pas gati një viti pune. Njerëzit që jetojnë atje thonë se janë të gëzuar dhe se kjo është e mirë për të gjithë, por ata pyesin edhe sa ka kushtuar.",
    "sv": "Hamnen i staden öppnade igen på tisdagen efter nästan ett års arbete. De människor som bor där säger att de är glada och att det är bra för alla, men de frågar också vad det har kostat.",
    "sw": "Bandari ya mji ilifunguliwa tena siku ya Jumanne baada ya kazi ya karibu mwaka mmoja. Watu wanaoishi hapo walisema kuwa wana furaha na kwamba ni jambo zuri kwa wote, lakini pia wanauliza gharama zake.",
    "tr": "Şehrin limanı neredeyse bir yıl süren çalışmanın ardından salı günü yeniden açıldı. Orada yaşayan insanlar mutlu olduğunu ve bunun herkes için iyi olduğunu söylüyor ama ne kadar para harcandığını da soruyor.",
    "vi": "Cảng của thành phố đã mở lại vào thứ ba sau gần một năm làm việc. Những người sống ở đó nói rằng họ vui và điều này tốt cho mọi người, nhưng cũng hỏi việc này đã tốn bao nhiêu và ai phải trả.",
    "zu": "Itheku ledolobha livulwe futhi ngoLwesibili ngemuva kokuthi umsebenzi uthathe cishe unyaka. Abantu abahlala khona bathi bajabulile futhi kuhle kubo bonke, kodwa babuza ukuthi kubize malini uma kuqhathaniswa, njengoba nje noma ubani efuna ukwazi ukuthi ubani okumele akhokhe.",
    "be": "Порт у горадзе зноў адкрыўся ў аўторак пасля амаль года працы. Людзі, якія там жывуць, кажуць, што яны рады і што гэта добра для ўсіх, але яны таксама пытаюцца, колькі гэта каштавала.",
    "bg": "Пристанището на града беше отворено отново във вторник след почти една година работа. Хората, които живеят там, казват, че са доволни и че това е добре за всички, но питат и колко е струвало.",
    "kk": "Қаланың айлағы бір жылға жуық жұмыстан кейін сейсенбіде қайта ашылды. Сол жерде тұратын адамдар қуанышты екенін және бұл бәрі үшін жақсы деп отыр, бірақ оның құны қандай болған деген сұрақ та бар.",
    "ky": "Шаардын порту бир жылга жакын иштен кийин шейшембиде кайра ачылды. Ал жерде жашаган адамдар кубанычта экенин жана бул баары үчүн жакшы деп айтты, бирок анын баасы кандай болгон деген суроо да бар.",
    "mk": "Пристаништето во градот повторно е отворено во вторник по речиси една година работа. Луѓето што живеат таму велат дека се среќни и дека тоа е добро за сите, но прашуваат и кој ќе го плати.",
    "mn": "Хотын боомт бараг жил үргэлжилсэн ажлын дараа мягмар гарагт дахин нээгдсэн байна. Тэнд амьдардаг хүмүүс баяртай байгаа бөгөөд энэ нь бүх хүнд сайн гэж хэлж байна, харин үнэ нь ямар байсан бол гэж асууж байна.",
    "ru": "Порт в городе снова открылся во вторник после почти года работы. Люди, которые там живут, говорят, что они рады и что это хорошо для всех, но они также спрашивают, сколько это стоило и кто будет платить.",
    "sr": "Лука у граду поново је отворена у уторак после скоро годину дана рада. Људи који тамо живе кажу да су срећни и да је то добро за све, али питају и шта ће бити када прође лето и ко ће то да плати.",
    "tg": "Бандари шаҳр рӯзи сешанбе пас аз қариб як соли кор аз нав кушода шуд. Мардуме, ки дар он ҷо зиндагӣ мекунанд, мегӯянд, ки онҳо хурсанд ҳастанд ва ин барои ҳама хуб аст, вале онҳо ҳам мепурсанд.",
    "uk": "Порт у місті знову відкрився у вівторок після майже року роботи. Люди, які там живуть, кажуть, що вони раді і що це добре для всіх, але вони також питають, скільки це коштувало і хто буде платити.",
    "ar": "أعيد فتح ميناء المدينة يوم الثلاثاء بعد عام من العمل. قال السكان الذين يعيشون هناك إن هذا جيد وإنهم سعداء، كما سألوا عن التكاليف التي كانت في هذا العام ومن الذي يدفع ذلك إلى الشركة مع كل هذه الأعمال.",
    "fa": "بندر شهر روز سه‌شنبه پس از نزدیک به یک سال کار دوباره باز شد. مردمی که در آن جا زندگی می کنند گفتند که از این خوشحال هستند و این برای همه خوب است اما پرسیدند که چه کسی پول آن را باید بدهد.",
    "ps": "د ښار بندر د سه شنبې په ورځ له یو کال کار وروسته بیا پرانیستل شو. هغه خلک چې هلته اوسي وايي چې خوښ دي او دا د ټولو لپاره ښه ده خو پوښتنه هم کوي چې څومره لګښت یې کړی دی.",
    "ur": "شہر کی بندرگاہ منگل کو ایک سال کے کام کے بعد دوبارہ کھل گئی۔ وہاں رہنے والے لوگ کہتے ہیں کہ وہ خوش ہیں اور یہ سب کے لیے اچھا ہے لیکن وہ یہ بھی پوچھتے ہیں کہ اس پر کیا خرچ ہوا ہے۔",
    "he": "נמל העיר נפתח שוב ביום שלישי אחרי כמעט שנה של עבודה. האנשים שגרים שם אומרים כי הם שמחים וכי זה טוב לכולם, אבל הם גם שואלים כמה זה עלה ומי ישלם על כל זה.",
    "yi": "דער האַפֿן פון דער שטאָט האָט זיך ווידער געעפֿנט דינסטיק נאָך אַ יאָר אַרבעט. די מענטשן וואָס וווינען דאָרט זאָגן אַז זיי זענען צופֿרידן און דאָס איז גוט פֿאַר אַלע.",
    "hi": "शहर का बंदरगाह लगभग एक साल के काम के बाद मंगलवार को फिर खुल गया। वहां रहने वाले लोग कहते हैं कि वह खुश हैं और यह सब के लिए अच्छा है लेकिन वह यह भी पूछते हैं कि इस पर कितना खर्च हुआ है।",
    "mr": "शहराचे बंदर जवळपास एका वर्षाच्या कामानंतर मंगळवारी पुन्हा सुरू झाले आहे. तेथे राहणारे लोक आनंदी आहेत आणि हे सर्वांसाठी चांगले आहे असे त्यांनी सांगितले, पण त्यांनी खर्च किती झाला हा प्रश्न ही केला आणि ते उत्तर देत नाही.",
    "ne": "सहरको बन्दरगाह झन्डै एक वर्षको कामपछि मंगलबार फेरि खुलेको छ। त्यहाँ बस्ने मानिसहरू खुसी छन् र यो सबैको लागि राम्रो हो भने, तर उनले खर्च कति भएको हो भनेर पनि सोधे।",
    "am": "የከተማዋ ወደብ ከአንድ ዓመት ሥራ በኋላ ማክሰኞ ዕለት እንደገና ተከፈተ። በዚያ የሚኖሩ ሰዎች ደስተኛ መሆኑን ተናግረዋል፤ ይህ ነገር ጥሩ ነው ግን ደግሞ ወጪው እንደ ምን ነበር ብለው ይጠይቃሉ እና ወደ ውስጥ ነው።",
    "zh": "港口在经过十一个月的修缮之后于星期二重新开放，许多居民一早来到码头迎接第一艘渡轮。",
    "ja": "港は十一か月の修理をへて火曜日にふたたび開き、多くの住民が朝早くから最初の船を迎えた。",
    "ko": "항구는 열한 달 동안의 공사를 마치고 화요일에 다시 문을 열었으며 많은 주민이 첫 배를 맞이했다.",
    "th": "ท่าเรือของเมืองเปิดอีกครั้งในวันอังคารหลังจากทำงานมาเกือบหนึ่งปี ชาวบ้านบอกว่าดีใจมาก",
    "lo": "ທ່າເຮືອຂອງເມືອງໄດ້ເປີດອີກຄັ້ງໃນວັນອັງຄານ ຫຼັງຈາກເຮັດວຽກມາເກືອບໜຶ່ງປີ ຊາວບ້ານເວົ້າວ່າດີໃຈ",
    "km": "កំពង់ផែនៃទីក្រុងបានបើកឡើងវិញនៅថ្ងៃអង្គារ បន្ទាប់ពីការងារជិតមួយឆ្នាំ ប្រជាជននិយាយថាពួកគេសប្បាយចិត្ត",
    "my": "မြို့၏ ဆိပ်ကမ်းကို အင်္ဂါနေ့တွင် ပြန်ဖွင့်ခဲ့သည်။ ထိုနေရာတွင် နေထိုင်သူများက ဝမ်းသာကြောင်း ပြောကြသည်။",
    "bo": "གྲོང་ཁྱེར་གྱི་གྲུ་ཁ་དེ་ལོ་གཅིག་གི་ལས་ཀའི་རྗེས་སུ་གཟའ་མིག་དམར་ལ་ཡང་བསྐྱར་སྒོ་ཕྱེས་པ་རེད།",
    "ka": "ქალაქის ნავსადგური სამშაბათს კვლავ გაიხსნა თითქმის ერთწლიანი სამუშაოს შემდეგ, ხალხი კმაყოფილია.",
    "hy": "Քաղաքի նավահանգիստը երեքշաբթի օրը կրկին բացվեց գրեթե մեկ տարվա աշխատանքից հետո, մարդիկ ուրախ են։",
    "el": "Το λιμάνι της πόλης άνοιξε ξανά την Τρίτη μετά από σχεδόν έναν χρόνο εργασιών και οι κάτοικοι χαίρονται.",
    "ta": "நகரத்தின் துறைமுகம் ஏறக்குறைய ஓராண்டு வேலைக்குப் பிறகு செவ்வாய்க்கிழமை மீண்டும் திறக்கப்பட்டது.",
    "bn": "শহরের বন্দরটি প্রায় এক বছরের কাজের পর মঙ্গলবার আবার খুলেছে এবং সেখানকার মানুষ খুশি হয়েছে।",
}  # fmt: skip


@pytest.mark.parametrize(("language", "text"), TEXTS.items(), ids=TEXTS)
def test_a_text_that_declares_nothing_says_what_it_is_or_nothing(language: str, text: str) -> None:
    assert language_of(text, []) in ({language} if language not in {"hr", "nb", "id", "da"} else {language, None})


@pytest.mark.parametrize(("language", "text"), TEXTS.items(), ids=TEXTS)
def test_what_is_rightly_declared_is_kept_with_script_and_region(language: str, text: str) -> None:
    assert language_of(text, [f"{language}-XX"]) == f"{language}-XX"


@pytest.mark.parametrize(("language", "text"), TEXTS.items(), ids=TEXTS)
def test_a_template_s_language_is_overruled(language: str, text: str) -> None:
    template = "en-US" if language != "en" else "fr-FR"
    assert language_of(text * 2, [template]) in {
        language,
        template if language in {"hr", "nb", "id", "da"} else language,
    }
    assert language_of(text * 2, [template, language]) == language


@pytest.mark.parametrize(
    ("declared", "text", "tag"),
    [
        (["pt_BR"], TEXTS["pt"], "pt-BR"),
        (["zh-hant"], "港口在經過十一個月的修繕之後於星期二重新開放，許多居民一早來到碼頭", "zh-Hant"),
        (["yue"], TEXTS["zh"], "yue"),
        (["no"], TEXTS["nb"], "no"),
        (["da"], TEXTS["nb"], "da"),
        (["sr-Latn-RS"], TEXTS["hr"], "sr-Latn-RS"),
        (["iw"], TEXTS["he"], "iw"),
        (["uk"], TEXTS["ru"], "ru"),
        (["fa"], TEXTS["ur"], "ur"),
        (["zh"], TEXTS["en"], "en"),
        (["ceb"], TEXTS["id"], "ceb"),
        (["en"], "Golf 7.4", "en"),
        ([], "Golf 7.4", None),
        (["x-default", None, "de"], "", "de"),
        (["en"], "Ada Lind, Bo Ek, Cy Ost, Di Falk, Ed Berg", "en"),
        ([], "Ada Lind, Bo Ek, Cy Ost, Di Falk, Ed Berg", None),
    ],
)  # fmt: skip
def test_near_languages_unknown_ones_and_few_words_are_left_as_declared(
    declared: list[str | None], text: str, tag: str | None
) -> None:
    assert language_of(text, declared) == tag


def test_a_quotation_does_not_decide() -> None:
    assert language_of(TEXTS["de"] + TEXTS["en"] + TEXTS["de"], ["de"]) == "de"
    assert language_of(TEXTS["zh"] + "The harbour is open, they said.", []) == "zh"
    assert language_of(TEXTS["en"] + "港口", ["en-GB"]) == "en-GB"


@pytest.mark.parametrize("unit", ["a", "the ", "港", "я ", "́", "\u0300a", "'", "de la "])
def test_only_a_sample_of_the_text_costs(unit: str) -> None:
    began = time.process_time()
    language_of(unit * (5_000_000 // len(unit)), ["en"])
    assert time.process_time() - began < 0.05
    assert SAMPLE < 10_000


# Countries with one language in the recorded news pages; others are told by what the pages declare.
SPOKEN = {
    "at": "de", "au": "en", "cn": "zh", "cz": "cs", "de": "de", "dk": "da", "es": "es", "fr": "fr", "id": "id", "ind": "hi", "isl": "is",
    "it": "it", "jp": "ja", "kr": "ko", "lt": "lt", "mx": "es", "no": "nb", "pl": "pl", "pt": "pt", "py": "es", "ru": "ru", "se": "sv",
    "tr": "tr", "tw": "zh", "tz": "sw", "ua": "uk", "uk": "en", "us": "en", "vn": "vi",
}  # fmt: skip
IN_ANOTHER = {
    "es_Mallorca": "de", "it_Tageszeitung": "de", "py_Wochenblatt": "de", "jp_TheJapan": "en", "mx_MexicoNews": "en", "pt_ThePortugal": "en",
    "tw_TaipeiTimes": "en", "tz_DailyNews": "en", "ua_Pravda": "ru",
}  # fmt: skip


@pytest.mark.shared
def test_the_recorded_news_pages_are_in_their_countries_languages(shared: Path) -> None:
    folder = shared / "extraction-dev/fundus"
    checked, wrong = 0, []
    for line in (folder / "gold.jsonl").read_text("utf-8").splitlines():
        gold = json.loads(line)
        page = gold["html"].removeprefix("html/")
        another = next((IN_ANOTHER[name] for name in IN_ANOTHER if page.startswith(name)), None)
        language = another or SPOKEN.get(page.partition("_")[0])
        if language and len(gold["text"]) > 200:
            checked += 1
            found = language_of(gold["text"], ["en"] if language != "en" else ["de"])
            if found != language:
                wrong.append((page, found))
    assert checked > 150
    assert wrong == []
