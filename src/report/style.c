/* The look of a page, light and dark, on screen and paper; and the little script that is only an addition. */
#include "report/html.h"

#include "viz/colormap.h"

/* clang-format off: one line a string */
static const char *const style[] = {
    ":root{color-scheme:light dark;--bg:#fcfcfb;--panel:#fff;--ink:#1b1e23;--soft:#5d646f;--line:#e3e4e6;",
    "--accent:35 98 200;--bad:198 62 36;--good:24 122 78;--heat:.6;--shade:0 1px 2px rgb(20 24 32/.06)}",
    "@media(prefers-color-scheme:dark){:root{--bg:#121417;--panel:#1a1d22;--ink:#e9eaec;--soft:#a0a7b2;",
    "--line:#2c3037;--accent:110 164 255;--bad:255 128 100;--good:92 200 146;--shade:none}}",
    "*{box-sizing:border-box}html{scroll-behavior:smooth;scroll-padding-top:4rem;-webkit-text-size-adjust:"
    "100%}",
    "@media(prefers-reduced-motion:reduce){html{scroll-behavior:auto}}",
    "body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,\"Segoe "
    "UI\",",
    "Roboto,\"Noto Sans\",sans-serif;font-variant-numeric:tabular-nums}",
    "header,main,footer{max-width:76rem;margin:0 auto;padding:0 1.5rem}",
    "header{padding-top:3.5rem}h1{font-size:2.4rem;line-height:1.15;margin:.2rem 0 "
    ".6rem;letter-spacing:-.02em;",
    "overflow-wrap:anywhere}h2{font-size:1.5rem;letter-spacing:-.012em;margin:0 0 .4rem}",
    "h3{font-size:1.1rem;margin:2.2rem 0 .2rem}h4{font-size:.95rem;font-weight:600;margin:1.3rem 0 .6rem}",
    "section{margin:4.2rem 0 0}section section{margin:0}p{margin:.3rem 0 1rem;max-width:46rem}",
    "a{color:rgb(var(--accent));text-underline-offset:.15em}",
    ":focus-visible{outline:3px solid rgb(var(--accent));outline-offset:2px;border-radius:3px}",
    ".skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:1rem;z-index:9;background:var(--panel);"
    "padding:.6rem}",
    ".kicker{font-size:.78rem;font-weight:600;letter-spacing:.09em;text-transform:uppercase;color:var(--soft)"
    ";margin:0}",
    ".lede{font-size:1.12rem;color:var(--soft)}.soft,small{color:var(--soft)}small{font-size:.8rem}",
    ".bar{position:sticky;top:0;z-index:5;background:var(--bg);border-bottom:1px solid "
    "var(--line);margin-top:2rem}",
    ".bar>div{max-width:76rem;margin:0 auto;padding:.55rem 1.5rem;display:flex;gap:.35rem "
    "1.5rem;flex-wrap:wrap;",
    "align-items:center;font-size:.9rem}.bar nav{display:flex;gap:.2rem 1.3rem;flex-wrap:wrap;flex:1}",
    ".bar nav a{color:var(--soft);text-decoration:none}.bar nav a:hover{color:var(--ink)}",
    ".heatbar{display:flex;align-items:center;gap:.6rem;color:var(--soft)}.heatbar "
    "input{width:7rem;accent-color:rgb(var(--accent))}",
    ".ramp{width:4.5rem;height:.6rem;border-radius:.3rem;display:inline-block}",
    ".hero{display:flex;flex-wrap:wrap;gap:1.5rem 3.5rem;align-items:flex-start;margin-top:2rem}",
    ".hero .big{font-size:4.6rem;line-height:1;font-weight:650;letter-spacing:-.04em}",
    ".hero .big span{font-size:.45em;font-weight:500;letter-spacing:0;margin-left:.12em}",
    ".hero>div:first-child{min-width:15rem}.hero ul{flex:1 1 26rem;margin:.2rem 0;padding:0;list-style:none}",
    ".hero li{padding:.42rem 0 .42rem 1.1rem;position:relative;max-width:44rem}",
    ".hero "
    "li::before{content:'';position:absolute;left:0;top:1.02em;width:.45rem;height:.45rem;border-radius:50%;",
    "background:rgb(var(--accent))}.hero li.warn::before{background:rgb(var(--bad))}",
    ".tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(11.2rem,1fr));gap:.9rem;margin:2.4rem "
    "0 0;padding:0}",
    ".tiles>div{background:var(--panel);border:1px solid var(--line);border-radius:.7rem;padding:.8rem 1rem "
    ".9rem;box-shadow:var(--shade)}",
    ".tiles dt{font-size:.82rem;color:var(--soft)}.tiles dd{margin:0}.tiles small{display:block}.tiles "
    ".v{font-size:1.55rem;font-weight:600;letter-spacing:-.02em}",
    "svg.iv{display:block;width:100%;height:.5rem;margin-top:.35rem}svg.iv .t{fill:var(--line)}",
    "svg.iv .b{fill:rgb(var(--accent)/.35)}svg.iv .m{fill:rgb(var(--accent))}",
    ".scroll{overflow-x:auto;margin:1rem 0;padding:2px}table{border-collapse:separate;border-spacing:0}",
    "th{font-weight:600;text-align:left;overflow-wrap:anywhere}caption{text-align:left;color:var(--soft);"
    "padding-bottom:.6rem;font-size:.9rem}",
    ".list{width:100%;font-size:.93rem}.list th,.list td{padding:.5rem .8rem .5rem 0;border-bottom:1px solid "
    "var(--line);vertical-align:top}",
    ".list thead th{font-size:.82rem;color:var(--soft);border-bottom-color:var(--soft);white-space:nowrap}",
    ".list .n{text-align:right}.list td small{display:block;white-space:nowrap}.list "
    "td{min-width:5.2rem}.list svg.iv{max-width:8rem}",
    "th button{font:inherit;color:inherit;background:none;border:0;padding:0;cursor:pointer}th "
    "button:hover{color:var(--ink)}",
    "th[aria-sort=ascending] button::after{content:' \\2191'}th[aria-sort=descending] "
    "button::after{content:' \\2193'}",
    ".matrix{border-spacing:3px;font-size:.92rem}.matrix th{font-weight:500;padding:.2rem "
    ".6rem;max-width:11rem}",
    ".matrix thead th{vertical-align:bottom;text-align:center;font-size:.85rem}.matrix tbody "
    "th{text-align:right}",
    ".matrix "
    "td{padding:0;min-width:3.6rem;height:2.9rem;text-align:center;border-radius:.4rem;background:rgb(var(--"
    "c)/var(--v))}",
    ".matrix td.z{background:none;border:1px solid var(--line);color:var(--soft)}.matrix thead "
    "td.z{border:0}.matrix td{--c:var(--bad)}.matrix td.d{--c:var(--good)}",
    ".matrix td.s{color:#fff}@media(prefers-color-scheme:dark){.matrix td.s{color:#101214}}",
    ".matrix td a,.matrix td "
    "span{display:flex;flex-direction:column;justify-content:center;height:100%;padding:.2rem .5rem;",
    "color:inherit;text-decoration:none;line-height:1.2;border-radius:.4rem}.matrix td a:hover{outline:2px "
    "solid currentColor}",
    ".sr{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}.matrix td "
    "small{color:inherit;opacity:.85;font-size:.74rem}.many td{min-width:1.7rem;height:1.7rem}.many td "
    "small{display:none}",
    ".many thead th{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left;max-height:9rem}",
    ".charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));gap:1.4rem;"
    "margin:1.2rem 0}",
    ".chart{margin:0;background:var(--panel);border:1px solid var(--line);border-radius:.7rem;padding:1rem "
    "1.1rem;box-shadow:var(--shade)}",
    ".chart figcaption{font-size:.92rem;font-weight:600;margin-bottom:.4rem}.chart figcaption "
    "small{font-weight:400;display:block}",
    ".chart svg{width:100%;height:auto;display:block;overflow:visible}.chart text{font:11px "
    "system-ui,sans-serif;fill:var(--soft)}",
    ".chart .grid{stroke:var(--line);fill:none}.chart .ideal{stroke:var(--soft);stroke-dasharray:3 "
    "4;fill:none}",
    ".chart .line{stroke:rgb(var(--accent));stroke-width:2;fill:none;stroke-linejoin:round}.chart "
    ".dot{fill:rgb(var(--accent))}",
    ".chart .whisker{stroke:rgb(var(--accent)/.55);stroke-width:1.5}.chart "
    ".mass{fill:rgb(var(--accent)/.16)}",
    ".chart .right{fill:rgb(var(--good)/.75)}.chart .wrong{fill:rgb(var(--bad)/.8)}",
    ".cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,10.4rem),1fr));gap:1.5rem "
    "1.1rem;margin:1rem 0 0;padding:0}",
    ".card.two{grid-column:span "
    "2}@media(max-width:28rem){.cards{grid-template-columns:1fr}.card.two{grid-column:auto}}",
    ".card{margin:0;min-width:0}.panes{display:grid;grid-auto-flow:column;grid-auto-columns:1fr;gap:.4rem}",
    ".pane{margin:0;min-width:0}.pane svg{display:block;width:100%;aspect-ratio:1;background:rgb(128 128 "
    "128/.12);border-radius:.5rem}",
    ".heat{opacity:var(--heat);transition:opacity .15s}.pane:hover .heat,.pane svg:focus .heat{opacity:0}",
    ".pane p{margin:.3rem 0 "
    "0;font-size:.84rem;line-height:1.35;display:flex;gap:.4rem;justify-content:space-between}",
    ".pane p span{white-space:nowrap}.pane p "
    "b{font-weight:600;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}.pane .no "
    "b{color:rgb(var(--bad))}.pane .yes b{color:rgb(var(--good))}",
    ".meter{display:block;height:.2rem;border-radius:.1rem;background:var(--line);overflow:hidden;margin-top:"
    ".2rem}",
    ".meter i{display:block;height:100%;width:calc(var(--w)*100%);background:rgb(var(--accent))}.no+.meter "
    "i{background:rgb(var(--bad))}.yes+.meter i{background:rgb(var(--good))}",
    ".card "
    "figcaption{font-size:.78rem;color:var(--soft);margin-top:.35rem;line-height:1.4;overflow-wrap:anywhere}",
    ":target{scroll-margin-top:4rem}section:target>h4,section:target>h3{color:rgb(var(--accent))}",
    ".facts{display:grid;grid-template-columns:max-content 1fr;gap:.45rem "
    "1.6rem;font-size:.93rem;margin:1rem 0}",
    ".facts dt{color:var(--soft)}.facts "
    "dd{margin:0;overflow-wrap:anywhere}@media(max-width:40rem){.facts{grid-template-columns:1fr}.facts "
    "dd{margin-bottom:.6rem}}",
    "code{font:.88em ui-monospace,\"Cascadia "
    "Mono\",Menlo,monospace;overflow-wrap:anywhere}details{margin:1rem "
    "0;max-width:52rem}summary{cursor:pointer}",
    "footer{margin-top:5rem;padding-top:1.2rem;padding-bottom:3rem;color:var(--soft);font-size:.85rem}",
    ".epochs .pane{width:8.6rem}.epochs{border-spacing:.5rem;margin-left:-.5rem}.epochs "
    "td{min-width:8.6rem;padding:0;vertical-align:top}.epochs thead th{font-size:.82rem;color:var(--soft)}",
    ".epochs tbody "
    "th{font-size:.84rem;font-weight:500;min-width:8.5rem;max-width:11rem;vertical-align:top;position:sticky;"
    "left:0;background:var(--bg);z-index:1;padding-right:.6rem}",
    ".epochs tbody th small{display:block}.player{display:flex;gap:1rem;align-items:center;margin:.6rem 0 "
    "1.2rem}.player input{flex:1;max-width:34rem;accent-color:rgb(var(--accent))}",
    ".player button{font:inherit;padding:.25rem .9rem;border-radius:.5rem;border:1px solid "
    "var(--line);background:var(--panel);color:inherit;cursor:pointer}",
    "@media "
    "print{.bar{display:none}section{margin-top:2rem}.card,.chart,tr{break-inside:avoid}header{padding-top:0}"
    "body{font-size:11pt}}",
};
/* clang-format on */

/* Sorting by a column's data-v; the heat's strength; nothing without which anything is missing. */
/* clang-format off: one line a string */
static const char *const script[] = {
    "(function(){'use strict';var d=document,root=d.documentElement,bar=d.querySelector('.heatbar');",
    "if(bar){bar.hidden=false;var s=bar.querySelector('input');s.addEventListener('input',function(){",
    "root.style.setProperty('--heat',s.value/100)})}",
    "d.querySelectorAll('table.sort').forEach(function(t){var heads=t.tHead.rows[0].cells;",
    "Array.prototype.forEach.call(heads,function(h,col){var b=d.createElement('button');b.type='button';",
    "while(h.firstChild)b.appendChild(h.firstChild);h.appendChild(b);b.addEventListener('click',function(){",
    "var up=h.getAttribute('aria-sort')==='descending';Array.prototype.forEach.call(heads,function(o){",
    "o.removeAttribute('aria-sort')});h.setAttribute('aria-sort',up?'ascending':'descending');",
    "var rows=Array.prototype.slice.call(t.tBodies[0].rows);rows.sort(function(a,b){",
    "var x=a.cells[col].dataset.v,y=b.cells[col].dataset.v,m=parseFloat(x),n=parseFloat(y),c;",
    "if(col===0)c=y.localeCompare(x);else c=(isNaN(m)?-1:m)-(isNaN(n)?-1:n);return up?c:-c});",
    "rows.forEach(function(r){t.tBodies[0].appendChild(r)})})})});",
    "var p=d.querySelector('.player');if(p){p.hidden=false;",
    "var range=p.querySelector('input'),out=p.querySelector('output'),",
    "play=p.querySelector('button'),timer=null,single=d.querySelector('.single');",
    "var show=function(){single.querySelectorAll('[data-epoch]').forEach(function(e){",
    "e.style.display=+e.dataset.epoch===+range.value?'':'none'});",
    "out.textContent=range.dataset.names.split(',')[range.value]};",
    "range.addEventListener('input',show);",
    "play.addEventListener('click',function(){if(timer){clearInterval(timer);timer=null;",
    "play.textContent='Play';return}play.textContent='Stop';timer=setInterval(function(){",
    "range.value=(+range.value+1)%(+range.max+1);show()},700)});",
    "single.hidden=false;range.value=range.max;show()}",
    "})();",
};
/* clang-format on */

static void put_lines(ngi_page *p, const char *const *lines, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ngi_put(p, lines[i]);
        ngi_put(p, "\n");
    }
}

void ngi_html_begin(ngi_page *p, const char *title)
{
    ngi_put(p, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
               "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
               "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';img-src data:;"
               "style-src 'unsafe-inline';script-src 'unsafe-inline'\">\n<title>");
    ngi_put_html(p, title);
    ngi_put(p, "</title>\n<style>\n");
    put_lines(p, style, sizeof style / sizeof *style);
    ngi_put(p, "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the content</a>\n");
}

void ngi_html_end(ngi_page *p)
{
    ngi_put(p, "<script>\n");
    put_lines(p, script, sizeof script / sizeof *script);
    ngi_put(p, "</script>\n</body>\n</html>\n");
}

void ngi_html_controls(ngi_page *p, const char *colormap)
{
    enum { STOPS = 9 };
    const uint8_t *rgb = NULL;
    if (ngi_colormap_find(colormap, &rgb, NULL) != NG_OK)
        return;
    ngi_put(p, "<div class=\"heatbar\" hidden><label for=\"heat\">Heatmaps</label>"
               "<input id=\"heat\" type=\"range\" min=\"0\" max=\"100\" value=\"60\">"
               "<span>low</span><span class=\"ramp\" style=\"background:linear-gradient(90deg");
    for (int i = 0; i < STOPS; i++) {
        const uint8_t *c = rgb + 3 * (i * 255 / (STOPS - 1));
        ngi_putf(p, ",rgb(%d %d %d)", c[0], c[1], c[2]);
    }
    ngi_put(p, ")\"></span><span>high</span></div>\n");
}
