"""Words that every text of a language is full of: articles, prepositions, pronouns, the verb to be.

The most frequent ones of running text, less those of one subject or one country; texts are split at apostrophes, so
that none stands within them. Frequencies: wordfreq 3.1 (Speer 2022) for the languages it has; the others by their
grammars. How one language is told from another: see ``language``.
"""

from __future__ import annotations

from collections.abc import Mapping

LATIN = {
    "af": """
        die en van in is het nie n vir met wat sy om te was aan hy op dat as ook maar deur by na hulle ons sal kan
        daar word uit nog meer moet
    """,
    "az": """
        və bu bir ilə üçün də da ki olan edir olaraq daha çox sonra ən hər isə var o görə onun olub edib deyib
        bildirib qeyd ya kimi həm
    """,
    "br": "an ar ur da ha eus ez en e oa evit gant war hag met bet eo int ma ne ket pe dre a-raok anezhañ o zo",
    "bs": """
        je i u da se na od za su a što iz to kao o koji kako ali nije još po s sve bio sam će koja samo biti koje
        kada tako bilo uslijed vijest također nakon tokom prema
    """,
    "ca": """
        de la a i que el l d en per del un les els una no amb és al es ha com més dels si però aquest seu aquesta
        molt als ja han són això estat quan ara entre fins què era ser també va sobre
    """,
    "cs": """
        a se v na je že s z si do jsem ale o i tak pro ve za jako jak po by už od když jen nebo byl bude má které
        jeho který až není bylo aby než ze ještě byla být také ani při kde podle však jsou
    """,
    "cy": """
        y yn i a o ar yr ei ac am eu mae wedi gan oedd fod bod hefyd ond er nid nad sydd un mwy cael gyda dros hyn
        sy oes byddai rhai
    """,
    "da": """
        i og er af det at en til på for ikke med den der de som et var vi om han fra men skal ved vil også være hvor
        nu man hvis sig efter eller her hvad ud alle blev bliver havde mere over have kun selv siger jeg mod
    """,
    "de": """
        die der und in das ist nicht zu den von mit es ein auf für im sie eine sich auch dem des als er an dass bei
        wie aber aus hat sind nach noch wir war nur wenn oder wird was werden einen am um haben einer zum kann über
        einem
    """,
    "en": """
        the to and of a in i is for that you it on with this was be as are have at he not by but from or we an his
        they had were which been their has will more who would said its our your about into can all than after also
        when there
    """,
    "eo": """
        la kaj de en al estas por ne ke kun li ŝi ili ĝi mi vi ni sed pri el kiu kiuj estis aŭ tio ĉi ankaŭ per oni
        pli ol kiel tiu dum kiam
    """,
    "es": """
        de la que el en y a los no un se por es del las con una para lo su al como más pero este sus ya ha son sin
        hay está fue también qué entre puede desde cuando muy sobre hasta según donde
    """,
    "et": """
        ja on et ei oli see kui ka ta mis aga oma nii siis seda või ning mida veel pole kes ma selle nad olid sest
        tema peale üle kõik olla vaid välja poolt eest juba ole
    """,
    "eu": """
        eta da ez du bat izan ere dira duen baina egin hau zen dute horrek baino den dela zuen beste oso hori ditu
        egiten behar dago baita arte izango bere bi zuten gehiago
    """,
    "fi": """
        ja on ei että se oli mutta kun niin myös hän jos ovat voi nyt sen kuin tai joka olla sitä mitä vain jo
        kanssa tämä sitten kaikki olisi ollut vielä siitä ne sekä jälkeen koska kuitenkin mukaan jotka
    """,
    "fil": """
        sa ng ang na mga at ay isang hindi ito ko kung may ni si pa para siya mo o pag kanyang lang naman niya lahat
        rin ka dahil din upang nila ba bilang kay ngayon nang
    """,
    "fo": """
        og í at á er ein til av um sum hava fyri við ikki var hevur tað eru teir vit hann men skal frá eisini tey
        eftir kann vera ella sær nú hesum henda vóru
    """,
    "fr": """
        de la le et l à les est en des d un que a pas une du il pour dans qui c au ce sur qu par on ne plus avec n
        mais se s son y ou si sont cette aux été leur ont comme elle deux selon être fait ses
    """,
    "fy": """
        de en it in fan is dat te op net foar mei hy wie as der om ek oan har yn wurdt by sy binne mar troch nei út
        dy wat hat moat sil ha kin
    """,
    "ga": """
        an na a ar i go agus is le tá do ag bhí sé sa ní ach mar don as nach gur mé siad faoi leis atá seo sin
        bhfuil chun ó é trí idir eile
    """,
    "gd": """
        a an na air agus le ann gu tha do aig e bha am gun chan is mar bho nach ach seo sin iad robh bhith cha sa
        anns an-diugh airson nan dhan
    """,
    "gl": """
        de a o que e do da en os un no as unha para con se por na non dos á ao máis das como foi nos é ou seu súa
        pola polo xa tamén nas pero esta son ten ata onde onte cando moi
    """,
    "ha": """
        da a na ya ta cewa ba wannan shi yi don kuma domin su ga ne ce wata wani mai kan sun an za zai cikin zuwa
        bayan daga amma yake suka yana tare tun
    """,
    "hr": """
        je i u da se na od za su a što iz to kao o koji kako ali nije još po s do sve bio ili sam će koja samo biti
        više koje kada ako tako bilo može nakon jer kod prema također tijekom tko uz
    """,
    "ht": """
        nan yo ki pou li ak yon te sa gen pa ap nou se la a w mwen tout sou men lè si pral kap fè konsa depi anpil
        peyi lan
    """,
    "hu": """
        a az és nem hogy egy is de meg csak ha van volt ez vagy már még én kell el ki azt mint mert nagyon így itt
        mi sem lesz lehet úgy be után amikor ami több pedig szerint között illetve
    """,
    "id": """
        yang dan di ini dari untuk dengan itu tidak akan adalah dalam pada kita orang juga dia saya lebih sudah
        mereka karena atau menjadi oleh jika kami telah bahwa bisa para kata secara tersebut ada seperti serta bagi
        pun ujar hingga namun sejumlah masih hanya
    """,
    "ig": "na ya ka ndị nke a ọ bụ ha dị maka n nwere ga o onye ihe mere si ọzọ gị m anyị mgbe ahụ otu were bụrụ",
    "is": """
        og í á að er sem til en við af hann um ekki var fyrir með ég eru frá það þar því eða eftir hún svo hefur
        vera þá verið þegar hafa þess úr út upp ef eins nú sé þú fram sér hér þeir þetta voru yfir
    """,
    "it": """
        di e che il la a in non un per è del l i una le si con della da sono ma al ha come più dei se nel anche alla
        lo gli delle o questo ho ci dal essere dalla stato degli nella tra ed sul cui dopo
    """,
    "ku": """
        û di ku de li ji bi ya yên xwe ew ê jî bo hat dike vê wî be an na dikin ser yek bû wê hatin heye kir dibe dê
        nav piştî ne
    """,
    "la": """
        et in est non ad ut cum qui quod ex sed si ab eius esse sunt atque quae hoc per aut enim dolor sit amet
        ipsum tempor dolore
    """,
    "lb": """
        de an d vun en den dat mat ass et fir déi op zu och net sech hunn huet dass si um am ginn eng gëtt e wéi ee
        vum méi awer bei ze datt nach no sinn
    """,
    "lg": """
        mu ku nga era ne ye nti eri ba bwe ya wa n okuva abantu ng okuba ono kya ki ate naye oba wabula ekyo gwe
        nnyo
    """,
    "ln": "ya na oyo te ba bato po ete mpe azali yango ezali bango kasi mpo wana nde koleka to soki mokolo lisusu",
    "lt": """
        ir kad į su iš yra tai kaip ar o buvo savo tik bet nuo ne apie taip kai labai dėl per dar gali jau po iki
        jis jei už jo būti kas turi prie bus metų jos tačiau arba
    """,
    "lv": """
        un ir ar par ka no kā uz kas arī vai bet es tā nav to tas lai bija ko pēc tikai tad līdz kad var jau pie vēl
        būs jo ļoti gan viņš nu šo savu kurš tomēr
    """,
    "mg": "ny sy fa dia no amin ao an izay tsy ho ary tamin ity azy mba na efa mila misy avy noho nisy anatin ireo",
    "ms": """
        yang dan di tidak dengan untuk saya ini itu dalam dari orang kita adalah ke semua ada pada akan juga dia
        kepada daripada ialah telah lebih mereka turut bagi katanya oleh berkata ketika beliau boleh serta tersebut
        iaitu manakala sebanyak sahaja
    """,
    "mt": """
        li ta u fil l- il- f biex ma dan din tal- kien mill- għal minn jew hu hi huwa kienet dwar b wara qal fuq
        mhux ukoll hija dawn bħala
    """,
    "nb": """
        i og er det å på som til en av for ikke med har jeg at de om den så vi fra var kan et men han seg dette noe
        skal noen ble vil bare også ut nå hva etter eller være blir hadde når må få mer opp andre over
    """,
    "nd": """
        ukuthi le lo ngoba kodwa futhi uma abantu bona ukuba njalo sibili lokho yini kanye labo kulo lapho loba yena
        kuleli sokuthi
    """,
    "nl": """
        de van het een en in is op dat voor je te met niet zijn die als er maar om aan hij ook ze door naar uit bij
        dan dit was we wat heeft of over nog deze hebben kan meer zo geen wel tot worden wordt
    """,
    "nn": """
        i og er det å på som til ein av for ikkje med har eg at dei om den så vi frå var kan eit men han seg dette
        noko skal nokon vart vil berre også ut no kva etter eller vere blir hadde når må meir andre hjå ho
    """,
    "oc": """
        de la e lo que los en a las un una per es del al dins amb se son qu d l pas mai plan aquel aquela aqueste
        foguèt tanben entre sus dels ont
    """,
    "om": """
        fi akka kan keessa irra hin waan yeroo isaa hanga jedhan jiru kun ture namoota irratti kana isaanii kanaan
        booda jira garuu waliin jedhe
    """,
    "pl": """
        w i nie na się to z do jest że o jak a ale co tak za od po dla tym czy przez tego są ma tylko już ze może bo
        ten oraz bardzo będzie być jego by ich jeśli roku też jeszcze był które jako który
    """,
    "pt": """
        de a o que e do em da é para não um uma com no se na por os como as mais dos mas foi ao ser seu sua tem são
        das ou à ele muito já também quando está pelo pela até entre depois
    """,
    "qu": "chay kay hinaspa mana runakuna chaypi kanku paykuna sapa huk ñuqa kasqa ichaqa qam chaymanta ñawpaq",
    "ro": """
        de în și a la să din o pe cu nu mai un este că care pentru se au ce fost ca al am sunt fi va lui dar sau
        dacă după ar le poate prin când iar era despre către ale cei
    """,
    "rw": """
        mu ku kuri na ko muri no bya kandi y ni ya ba yo cyangwa ariko aho icyo uyu abantu w ibyo iki bari kugira
        uko nk kuba
    """,
    "sk": """
        a v sa na je to z že s ako aj o si do som ale po za tak od už by pre sú k alebo nie ich len vo aby keď ktorý
        ktoré pri má jeho bola bude ktorá až veľmi bolo byť ešte podľa však než
    """,
    "sl": """
        je in v na se da so za ki pa z tudi lahko s ne kot po še iz bi bo od tako to pri ali o če že bil do med vse
        jih ko ga bila leta več sem tem ter bodo ker kjer kar
    """,
    "sn": """
        kuti uye kana asi vanhu mu ne iyi kubva ndiye zvakare vari ava izvi kune ari avo panguva saka nokuti akati
        pamusoro apo
    """,
    "so": """
        ee in ka oo iyo ku uu ay waa la ah waxa u ayaa waxaa kale soo isaga isku kuwa sida lagu kaas si wax dadka
        aan sheegay marka laga mid xilli inuu
    """,
    "sq": """
        të e në dhe për i me një që nga u është më se ka nuk do si por ai kjo janë ta ky edhe pas tij kanë tha ishte
        dhënë kur nëse ose mund
    """,
    "sr-Latn": """
        je i u da se na od za su a iz to kao o što koji kako ali nije još po s do sve bio ili sam će koja samo te
        biti više koje kada ako tako bilo može ne jer tokom takođe ko posle pre rekao sa gde
    """,
    "st": "ho ea le ka ba e la hore o bana ke mme ha tsa a sa ya hae bona empa se seo bo tse feela di moo",
    "su": """
        jeung nu di ti ka anu éta ku keur teu geus oge sarta ieu dina pikeun mun nyaéta lain aya atawa sabab leuwih
        urang manéhna
    """,
    "sv": """
        är det att och i jag på en inte som för med har av om du så till den de ett kan vi men man var ska när från
        här eller han hur alla vill sig där får finns skulle ut mycket upp in under också enligt efter
    """,
    "sw": """
        ya na wa kwa ni katika za la kuwa hiyo huo hii huyo kwamba hayo watu wake au alisema cha yake baada pia hata
        lakini wao ili mwaka hilo sana kama kutoka
    """,
    "tk": """
        we bu bir bilen üçin hem öz bolan diýip boýunça bolup soň ýa her köp edýär bolsa olaryň ol onuň diýen ýyl iň
        barada şeýle eden
    """,
    "tn": "le go a mo ba ya ka e fa o ke di gore re ne kwa se la tse yo bone mme bo sa gagwe jaaka",
    "tr": """
        ve bir bu için de da çok ile ne daha en gibi olarak her kadar o olan ben var ama sonra ki yeni sadece ilk
        ise oldu olduğunu tüm önce göre tarafından değil dedi ya aynı olduğu üzere bin ifade etti ettiği kaydetti
    """,
    "uz": """
        va bu bir bilan uchun ham deb lgan edi esa u har hamda yicha qilish kerak yoki shu haqida keyin tomonidan
        mumkin yil
    """,
    "vi": """
        là và có của được một các không trong cho người này với ở đã thể để như những đến khi làm sẽ từ ra tại về
        vào đó cũng lại năm sự bị phải số ông mà thì trên việc sau
    """,
    "xh": """
        ukuba kwaye kodwa xa ukuze nangona ngoku apho into umntu abantu kakhulu ukuya kuba okanye uthe uthi yakhe
        wakhe kunye le lo ukusuka njengoko oko loo eli olu esi kule ngeli phantsi phambi kwakhona nje ngokuba kule
        nto kwi
    """,
    "yo": "ni tí àwọn ti sí náà ó fún nínú pé wọn kan jẹ́ láti bí ṣe àti nípa rẹ̀ lọ sì yìí gbogbo tó ń a",
    "zu": """
        ukuthi futhi kanye uma kodwa nje noma le lo lapho ngoba kusukela ngemuva abantu ukuze nokuthi uthi uthe
        ngesikhathi kakhulu khona manje njengoba kumele kuleli yona bona wakhe yakhe okwamanje esho ngo nge lokhu
        lesi ukuba kule sekuyi
    """,
}  # fmt: skip
CYRILLIC = {
    "ba": "һәм менән өсөн был буйынса тип ла та булған бер итеп ул шул үҙ тура йыл",
    "be": """
        і на з у што да ў не за гэта ад па як пра для яго быў але так яны ён ці гэты таксама каб мы якія калі які
        было ўжо пасля толькі больш яе паводле
    """,
    "bg": """
        на и в да е от за се с не че по ще са това като но до го му към може съм или само няма след през които при
        как той който във което един още със когато защото беше има между според
    """,
    "ce": "а ду йу цу цуьнан и оцу цхьа долу из хьан цул дара цо шен тӏе дуьхьал ала",
    "cv": "тата та пулнӑ вӑл пуҫӑн ҫак хӑйӗн ҫул тесе пек ҫине пулать калать ӑна",
    "kk": """
        және бұл бір мен үшін деп бар де да бойынша болған туралы кейін болып еді ол оның деген жоқ керек сол қазір
        емес ретінде тағы өз дейді барлық осы сондай ақ жыл адам айтты
    """,
    "ky": """
        жана бул бир менен үчүн деп бар да эле болгон боюнча анын ал кийин эмес бирок өз дагы деген ошол болуп ар
        экенин жаткан айтты
    """,
    "mk": """
        на и во да се од за е со не го ќе што дека ги како ја тоа кој кои си по ми до или само има беше сите тој ако
        така може која еден според меѓу бидат биде исто уште пред
    """,
    "mn": """
        нь юм бол байна энэ гэж ба уу болон тэр байгаа хийх байсан гэсэн бөгөөд харин мөн л тухай түүний хүн их юу
        гэх болсон ч
    """,
    "os": "ӕмӕ уый цы та уыди йӕ нӕ сӕ ӕй ӕз куыд ма уыцы ацы ис дӕр",
    "ru": """
        в и на не с что я по а как из это за для о к но то у его он от все так же мы до вы только был если когда
        было уже еще бы или их они при будет время кто чтобы есть она во может после были также ее которые
    """,
    "sr": """
        је и у да се на од за су а из то као о што који како али није још по до све био или сам ће која само те бити
        више које када ако тако било може јер током такође после пре са где
    """,
    "tg": """
        ва дар ба аз ки ин бо он барои буд аст мекунад ҳам як то карда шуд онҳо вай худ шудааст дигар метавонад бояд
        ё пас
    """,
    "tt": "һәм белән өчен бу бер дип дә да булган иде тагын үз ул аның буенча белдерде шул ел шулай турында гына",
    "uk": """
        в на не і у з що та це за а я як про для від так він але його все то є ви по ми й які під вже коли якщо або
        року було вони із щоб час був тому також дуже може її яка
    """,
    "uz": "ва бу бир билан учун ҳам деб бўлган эди эса ўз у ҳар ҳамда бўйича керак ёки шу ҳақида кейин мумкин",
}  # fmt: skip
ARABIC = {
    "ar": """
        في من على أن إلى ما عن هذا مع التي كل هذه أو هو كان الذي ذلك بعد لم بين كانت حتى قبل قد هي إن كما أي أيضا
        حيث أنه خلال عليه غير وهو بعض
    """,
    "ckb": "لە و بە بۆ کە ئەو ئەم دەکات لەگەڵ هەر ئەوە یەک بوو دا کرد لەسەر هەروەها ی پێی بەڵام",
    "fa": """
        و به در از که این با را است برای بود هم تا یک شده آن شد می یا بر ها های خود هر اما نیز کرد گفت کرده باید پس
        بین شود
    """,
    "ps": "د په او چې کې ته له سره یې دی نه دا هم کړي يو لپاره پر وي کړې شي خو څخه هغه شوي",
    "sd": "جي ۾ کي آهي جو ۽ تي هن ان کان سان به نه لاءِ جا هو ته",
    "ug": "ۋە بىر بۇ ئۇ بىلەن ئۈچۈن دەپ بولۇپ بولغان قىلىش ھەم شۇ كېيىن",
    "ur": """
        کے میں کی ہے اور سے کا کو اس پر ہیں نے بھی ایک کر یہ نہیں کہ تو کیا وہ ہو ان تھا جو ہی گیا لیے بعد کوئی اپنے
        کسی
    """,
}  # fmt: skip
DEVANAGARI = {
    "hi": "के में की है और से का को इस पर हैं ने भी एक कर यह नहीं कि तो किया वह हो उन था जो ही गया लिए बाद इसके",
    "mr": "आणि आहे या ते हा ही च्या होते केली मध्ये नाही हे तो असे आहेत केले त्या की एक करून होती यांनी त्यांनी",
    "ne": "र छ को मा भने छन् गर्ने गरेको भएको पनि यो हो एक लागि गर्न ले उनले थियो तर छैन भएका",
    "sa": "च न एव इति अपि तत्र अस्ति भवति तु स वा अस्य यत् ते",
}  # fmt: skip
HEBREW = {
    "he": "של את על לא הוא זה עם כי גם היא כל אם בין או אני יש יותר אך הם זו כדי היה אל אבל רק מה",
    "yi": "און די איז אין דער צו פון מיט ניט נישט אַ דאָס האָט וואָס זיי אויף ער זיך פֿון דעם מען ווי",
}  # fmt: skip
ETHIOPIC = {
    "am": "ነው ላይ እና ውስጥ ይህ የ መሆኑን ግን ወደ ከ ነበር ሰዎች እንደ ደግሞ ጋር ናቸው ሲሆን በኋላ ነገር",
    "ti": "እዩ ኣብ ናይ ነቲ ድማ ከም ካብ እቲ ዝነበረ ምስ ግን ኣሎ ሰባት እዮም ነበረ ናብ እዚ",
}  # fmt: skip
BENGALI = {
    "as": "আৰু এই কৰি হৈছে পৰা কৰা তেওঁ এটা বাবে আছে যে এক হয় কৰিছে মাজত",
    "bn": "ও এই করে না থেকে হয়েছে এক করা তিনি একটি জন্য আছে যে হয় এবং তার সঙ্গে করতে বলেন",
}  # fmt: skip


def words_of(languages: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Each word's languages."""
    found: dict[str, list[str]] = {}
    for language, words in languages.items():
        for word in dict.fromkeys(words.split()):
            found.setdefault(word, []).append(language)
    return {word: tuple(sharing) for word, sharing in found.items()}
