"""How pages talk that stand where an article should be: patterns only. When one counts is decided in ``quality``.

Titles are matched as a whole, less the site's name: "Page not found: the lost diaries of …" is an article. A sentence
counts where a page says nothing else, and speaks to the reader: any other may be the only one of a short report.
"""

from __future__ import annotations

import re

_SITE_SUFFIX = re.compile(r"\s+[|\-–—·•:»]{1,2}\s+.*$|\s*[|｜_].*$")
_SENTENCE_END = re.compile(r"[\n。！？]|[.!?…](?=\s|$)")


def _either(*forms: str) -> re.Pattern[str]:
    return re.compile(f"(?:{'|'.join(forms)})", re.IGNORECASE)


# ---------------------------------------------------------------- titles

# May be the title of a work, too: counts only above very little text.
PERHAPS_GONE = _either(r"404[.!]*", r"(?:not found|nothing (?:was )?found)[.!]*")
GONE = _either(
    r"(?:http )?(?:error|fehler|erreur|errore|fejl|fel|virhe|chyba|ошибка|помилка|błąd|hata"
    r"|خطأ)[ :-]*404(?:[ :,-]+.{0,40})?[!.]*\d?",
    r"404[ |:,-]+(?:error|fehler|(?:page |file )?not found|seite nicht gefunden|page introuvable|未找到"
    r"|找不到页面)[!.]*",
    r"(?:(?:sorry|oops|uh oh|whoops|we['’]re sorry)[,!.…]*\s*)?(?:(?:the|this|that|your)\s)?(?:requested\s)?(?:page"
    r"|article|story|post|content|url)\s(?:you\S*\s.{0,40}\s)?(?:does(?:n['’]t| not) exist|cannot be found"
    r"|no longer exists|has been (?:removed|deleted)|(?:was |is |could |can)?\s?(?:not|n['’]t)(?: be)? (?:found"
    r"|available)|unavailable|is no longer available)[.!]*",
    r"(?:page|article|story|content|file) (?:not found|missing|unavailable)[.!]*",
    r"(?:we )?(?:can['’]t|cannot|couldn['’]t|could not) find (?:that|the|this) page.{0,30}",
    r"(?:die |diese )?(?:seite|artikel) (?:wurde |konnte )?(?:leider )?nicht (?:mehr )?(?:gefunden(?: werden)?"
    r"|verfügbar)[.!]*",
    r"(?:page|article) (?:introuvable|non trouvée?)|(?:cette |la )?page (?:demandée )?n['’](?:existe|est) (?:pas"
    r"|plus).{0,30}",
    r"página no (?:encontrada|disponible)|(?:la|esta) página (?:solicitada )?no (?:existe|se encuentra).{0,30}"
    r"|no (?:se )?(?:ha )?enc(?:ontr|uentr)\w+ (?:la|esta) página",
    r"pagina non (?:trovata|disponibile)|página não encontrada|(?:a|esta) página não (?:existe|foi encontrada)",
    r"pagina niet gevonden|sidan (?:hittades inte|kunde inte hittas|finns inte)|siden (?:ble |blev "
    r"|kunne )?ikke (?:funnet|findes)|siden findes ikke|sivua ei löyt(?:ynyt|y)",
    r"страница не (?:найдена|существует)|сторінк[ау] не знайдено|страницата не (?:е намерена|съществува)|(?:stranica"
    r"|страница) (?:nije|није) (?:pronađena|пронађена)",
    r"nie znaleziono strony|strona nie (?:istnieje|została znaleziona)|stránk[au] (?:nenalezena|sa nenašla"
    r"|nebyla nalezena)|az oldal nem található|pagina nu (?:a fost găsită|există)|η σελίδα δεν βρέθηκε",
    r"sayfa bulunamadı|الصفحة (?:المطلوبة )?غير موجودة|صفحه (?:مورد نظر )?(?:یافت|پیدا) نشد|(?:הדף"
    r"|העמוד) (?:המבוקש )?לא נמצא",
    r"halaman tidak ditemukan|không tìm thấy trang|ไม่พบหน้า.{0,20}|(?:पृष्ठ|पेज) नहीं मिला",
    r"(?:您(?:访问|請求|请求|查找|要查看)的)?(?:页面|網頁|网页|頁面|文章|内容)(?:不存在|未找到|找不到|已(?:被)?删除"
    r"|已刪除)",
    r"(?:找不到|无法找到)(?:该|該|您(?:要|访问|请求)的)?(?:页面|網頁|网页|頁面)",
    r"(?:お探し|指定された)のページ.{0,20}|指定されたページ.{0,20}|ページが(?:見つかりません|存在しません)(?:でした)?"
    r"|(?:요청하신 )?페이지를 찾을 수 없습니다",
)
# The next two count only on a page that holds nothing else.
CHALLENGE = _either(
    r"just a moment[.…]*|attention required!?|one more step|ddos[- ](?:guard|protection).{0,30}|client challenge",
    r"(?:access denied|access to this (?:page|site) (?:has been|is) (?:denied|blocked)"
    r"|(?:sorry, )?you have been blocked)[.!]*",
    r"(?:robot|security|browser|bot) (?:check|verification)|robot or human\??|(?:vercel )?security checkpoint"
    r"|radware .{0,20}",
    r"verif(?:y|ying) (?:that )?you are (?:a )?human[.…]*|are you a (?:robot|human)\??|human (?:check|verification)",
    r"making sure you(?:['’]re| are) not a bot[!.]*|checking (?:your browser|if the site connection is secure).*",
    r"please (?:wait|verify|enable (?:js|javascript|cookies))[.…]*|pardon our interruption[.…]*"
    r"|verifying your connection[.…]*",
    r"(?:(?:error )?403|forbidden|(?:error )?403[ :-]+(?:forbidden|access denied)"
    r"|(?:429[ :-]+)?too many requests)[.!]*",
    r"request (?:rejected|blocked|unsuccessful)|the request could not be satisfied|web page blocked[.!]*",
    r"请稍候[.…]*|(?:百度)?安全(?:验证|检查)|(?:人机|访问|滑动)(?:身份)?验证|访问(?:异常|被拒绝|受限)|正在验证.{0,20}"
    r"|アクセスが(?:制限|拒否)されました|접근이 (?:차단"
    r"|제한)되었습니다",
)
BROKEN = _either(
    r"(?:error )?(?:500|502|503|504)[ :-]*(?:internal server error|bad gateway|service (?:temporarily )?unavailable"
    r"|gateway time-?out)?[.!]*",
    r"(?:internal server error|bad gateway|service (?:temporarily )?unavailable|gateway time-?out|application error"
    r"|server error)[.!]*",
    r"(?:site |website )?(?:is )?(?:under|down for|in) (?:scheduled )?maintenance[.!]*|maintenance(?: mode)?"
    r"|wartungs(?:arbeiten|modus)",
    r"(?:we['’]ll|we will) be (?:right )?back(?: soon)?[.!]*|something went wrong[.!]*|an error (?:has )?occurred[.!]*",
    r"error establishing a database connection|database error|en maintenance|en mantenimiento|in manutenzione"
    r"|系统维护中?"
    r"|メンテナンス中",
)
CONSENT_TITLE = _either(
    r"before you continue(?: to .{0,40})?|.{0,40}privacy[ -]gate|(?:cookie|privacy)[ -]?(?:consent|wall|settings"
    r"|notice|instellingen)",
    r".{0,60}(?:family of brands|markenfamilie|famille de marques|famiglia di (?:brand|marchi)"
    r"|familia de marcas).{0,20}",
    r"zustimmung(?:spflichtig|seinstellungen)|cookie-?einstellungen",
)
LOGIN = _either(
    r"(?:please )?(?:log ?in|sign ?in|log ?on|register|sign up)(?: (?:to|to continue|or register|or sign up"
    r"|or create).{0,40})?",
    r"(?:create|verify) (?:your|an) account|account login|authentication required|single sign-?on",
    r"anmelden|anmeldung|einloggen|connexion|se connecter|identifiez-vous|iniciar sesión|inicia sesión|accedi|entrar"
    r"|inloggen|logga in|logg inn|log ind",
    r"вход|войти|авторизация|zaloguj się|logowanie|giriş yap|تسجيل الدخول|登录|登入|ログイン|로그인",
)
SEARCH = _either(
    r"(?:search(?: results?)?|results)(?: (?:for|page|of)\b.{0,80}|[ :-]+.{0,80})?|you searched for .{0,80}"
    r"|.{0,60} search results",
    r"such(?:e|ergebnisse?)(?: (?:nach|für) .{0,80}|[ :-]+.{0,80})?|(?:résultats de (?:la )?)?recherche(?: .{0,80})?",
    r"(?:resultados de (?:la )?)?(?:búsqueda|busca)(?: .{0,80})?|risultati (?:della )?ricerca(?: .{0,80})?"
    r"|zoekresultaten(?: .{0,80})?",
    r"(?:.{0,40}的)?(?:搜索|搜尋|検索)(?:结果|結果)(?:.{0,40})?|результаты поиска(?: .{0,80})?",
)

# ---------------------------------------------------------------- sentences

SENTENCES = {
    "geo-blocked": _either(
        r"\b(?:not|n['’]t|no longer|un)\s?(?:currently )?(?:available|accessible|permitted|allowed) (?:in|to|from"
        r"|for) (?:visitors (?:in|from) )?(?:your (?:current )?(?:region|country|location|area|territory)"
        r"|most european|the european economic area)",
        r"(?:country|region) belonging to the european economic area|^(?:451\b.{0,10})?unavailable (?:due to"
        r"|for) legal reasons",
        r"our european visitors are important to us",
        r"(?:in|aus) (?:ihrem|deinem) land (?:leider )?nicht (?:verfügbar|erreichbar|abrufbar)|pas (?:disponible"
        r"|accessible) (?:dans|depuis) votre (?:pays|région|zone)",
        r"no está disponible en (?:tu|su) (?:país|región|ubicación)|não está disponível (?:na sua região|no seu país"
        r"|em seu país)|non è disponibile nel tuo paese",
        r"недоступ\S+ (?:в|для) ваше\S+ (?:стране|регион\S+)|您(?:所在|的)(?:的)?(?:国家|國家|地区|地區).{0,20}(?:无法"
        r"|無法|不可|不能|不支持)"
        r"|お住まいの(?:国|地域).{0,30}(?:できません|いただけません)",
    ),
    "age-gate": _either(
        r"(?:are you|you must be|i am|confirm (?:that )?you are) (?:at least |over )?(?:the age of )?(?:1[68]|21)\b"
        r"|(?:verify|confirm|enter) your (?:age|date of birth)",
        r"this (?:content|page|article|site) is (?:age[- ]restricted|for adults)",
        r"(?:bist du|sind sie|ich bin) (?:schon |mindestens |über )?1[68]|(?:avez-vous|j['’]ai) (?:plus de )?18 ans"
        r"|(?:eres|soy) mayor de (?:edad|18)",
        r"(?:您(?:是否)?已?|我已?)(?:年满|满)\s?18|あなたは18歳以上",
    ),
    "paywall": _either(
        r"(?:subscribe|sign up|register|log ?in|sign ?in)(?: now| today)? to (?:continue|keep reading|read|unlock"
        r"|access|view)\b",
        r"this (?:article|story|content|page) is (?:(?:only )?(?:available |reserved )?(?:to|for)"
        r"|exclusive to) (?:our )?(?:paid |paying )?(?:subscribers|members)",
        r"^(?:for )?(?:subscribers?|members?)[ -]only|^already (?:a |an )?(?:subscriber|member|subscribed)"
        r"|to continue reading,? (?:please )?(?:subscribe|log|sign|register)",
        r"(?:abonnieren|anmelden|registrieren),? (?:und|um) (?:weiterzulesen|weiterlesen|.{0,30}zu lesen)"
        r"|dieser (?:artikel|inhalt) .{0,20}(?:nur|exklusiv) für abonnenten|^(?:sie sind )?(?:bereits|schon) abonn",
        r"^(?:cet |ce )?(?:article|contenu) (?:est )?réservé (?:aux|à nos) abonnés|abonnez-vous pour (?:lire"
        r"|continuer)|^déjà abonné|^(?:contenido|artículo) (?:exclusivo )?(?:solo )?para suscriptores"
        r"|suscríbete para (?:leer|seguir|continuar)",
        r"^(?:contenuto|articolo) riservato agli abbonati|abbonati per (?:leggere|continuare)"
        r"|^exclusivo para assinantes|(?:订阅|付费|登录)后?(?:继续|才能|可|方可)?(?:阅读|查看)(?:全文)?"
        r"|この記事は(?:有料)?会員限定|^残り\s?\d+文字",
    ),
    "challenge": _either(
        r"(?:enable|activate|turn on|allow) (?:(?:js|javascript) and )?cookies|(?:enable (?:js"
        r"|javascript) and )?disable (?:any|your) ad ?blocker",
        r"(?:verify|verifying|confirm|prove) (?:that )?you(?:['’]re| are) (?:a human|human|not a (?:ro)?bot)"
        r"|unusual (?:traffic|activity) from your",
        r"you have been blocked|checking your browser|complete the (?:captcha|security check)"
        r"|needs to review the security of your connection|cloudflare ray id",
    ),
    "needs-script": _either(
        r"(?:enable|activate|turn on|allow) (?:js|javascript)\b|(?:site|page|app|application|website"
        r"|browser)\b.{0,40}(?:requires?|needs?|support) (?:js|javascript)\b|without (?:js|javascript)",
        r"^(?:js|javascript) (?:is |must be |has been )?(?:disabled|required|enabled|turned off|not (?:enabled"
        r"|supported))",
        r"(?:启用|開啟|开启|啟用|打开|允许)\s?(?:您的)?(?:浏览器)?(?:的)?\s?javascript|javascript\s?(?:を有効|が無効"
        r"|を使用|未启用|禁用)|자바스크립트",
        r"(?:bitte )?(?:aktivieren sie |schalten sie )(?:bitte )?javascript|javascript (?:bitte )?(?:aktivieren"
        r"|einschalten|ist deaktiviert)|activ(?:er|ez|a|ar|e|ate) (?:el )?javascript|(?:включите|включить"
        r"|увімкніть) javascript|abilita(?:re)? javascript",
    ),
}
# Two different ones make a wall: one alone may be quoted.
CONSENT_PHRASES = _either(
    r"we (?:and our .{0,40}partners )?(?:use|store|value) .{0,80}(?:cookies|privacy)|before you continue|(?:accept"
    r"|reject) all",
    r"cookie (?:consent|settings|preferences)|alle (?:akzeptieren|ablehnen)|(?:akzeptieren|zustimmen) und weiter"
    r"|mit werbung (?:weiter|lesen|nutzen)|werbefrei (?:lesen|nutzen)",
    r"tout (?:accepter|refuser)|continuer sans accepter|aceptar (?:todo|y continuar)|rechazar (?:todo|y (?:suscribi"
    r"|pagar))|accetta (?:tutto|e continua)|rifiuta e abbonati",
    r"alles (?:accepteren|weigeren)|cookies (?:toestaan|accepteren|zulassen|akzeptieren)|acceptera alla|godta alle"
    r"|tillad alle|hyväksy kaikki|zaakceptuj wszystk|принять все|tümünü kabul",
    r"accéder gratuitement .{0,40}cookies|s['’]abonner .{0,30}cookies|接受(?:所有|全部)|同意并继续|すべて(?:許可|同意"
    r"|受け入れ)",
)

# ---------------------------------------------------------------- addresses and marks in the source

CONSENT_HOST = re.compile(r"^(?:consent|guce|cmp|privacy-?mgmt|myprivacy|zustimmung|cookiewall)\.|\.privacy-mgmt\.com$")
CONSENT_PATH = _either(
    r"/(?:consent|cookie-?(?:wall|consent)|zustimmung|purabo|privacywall|privacygate|collectconsent)(?:[/?.]|$)"
)
LOGIN_PATH = _either(
    r"/(?:log-?in|sign-?in|sign-?on|sso|auth|anmelden|connexion|iniciar-sesion|users/sign_in)(?:\.\w{3,5})?/?$"
)
GONE_PATH = _either(r"/(?:error-?)?(?:404|page-?not-?found|not-?found|errors?/404|404error)(?:\.\w{3,5})?/?$")
LIST_PATH = _either(
    r"/(?:tags?|topics?|categor(?:y|ies|ia|ie)|authors?|schlagwort|thema|themen|etiquetas?|tema)/([^/\d%]{1,60})/?$"
)
SEARCH_PATH = _either(r"/(?:search|suche|recherche|buscar?|busqueda|ricerca|zoeken)(?:\.\w{3,5})?/?$")
SEARCH_QUERY = re.compile(r"(?:^|&)(?:s|q|query|search|keyword)=", re.IGNORECASE)

# Of pages that are nothing else: some of these stand in ordinary pages of the same provider too.
CHALLENGE_MARKS = re.compile(
    r"_cf_chl_opt|/cdn-cgi/challenge-platform/\w/\w/orchestrate|cf-browser-verification|captcha-delivery\.com"
    r"|px-captcha|_Incapsula_Resource|awsWafCookieDomainList|gokuProps|id=\"challenge-(?:form|running|container)\""
    r"|/\.within\.website/x/|/_sec/cp_challenge|sec-if-cpt-container|/\.well-known/ddos-guard"
)


def title_forms(*titles: str | None) -> list[str]:
    """Each title as it is, and without what stands behind a separator: the site's name."""
    said = [title.strip() for title in titles if title]
    return list(dict.fromkeys(form for title in said for form in (title, _SITE_SUFFIX.sub("", title)) if form))


def says(pattern: re.Pattern[str], forms: list[str]) -> bool:
    """Whether one of the forms is, as a whole, what the pattern describes."""
    return any(pattern.fullmatch(form) for form in forms)


def sentences(text: str) -> list[str]:
    """A text's sentences, without what ends them."""
    return [sentence for part in _SENTENCE_END.split(text) if (sentence := part.strip())]
