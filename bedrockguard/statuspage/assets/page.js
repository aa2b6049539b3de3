// Refreshes what stands in #live while somebody looks. What is open stays open, and the focus where it is.
'use strict';
(() => {
  const every = 5000;
  let paused = false;

  const button = () => {
    const pause = document.getElementById('pause');
    if (!pause) return;
    pause.hidden = false;
    pause.textContent = paused ? 'Go on refreshing' : 'Pause';
    pause.onclick = () => { paused = !paused; button(); };
  };

  const selecting = () => { const s = document.getSelection(); return s && !s.isCollapsed; };

  const refresh = async () => {
    if (paused || document.hidden || selecting()) return;
    let text;
    try {
      const answer = await fetch('./', { credentials: 'same-origin', redirect: 'error' });
      if (!(answer.headers.get('Content-Type') || '').startsWith('text/html')) return;
      text = await answer.text();
    } catch {
      const at = document.querySelector('.at');
      if (at) at.classList.add('alert');
      return;
    }
    const next = new DOMParser().parseFromString(text, 'text/html').getElementById('live');
    const live = document.getElementById('live');
    if (!next || paused) return;
    const focused = live.contains(document.activeElement) ? document.activeElement.id : '';
    const places = [...live.querySelectorAll('.scroll')].map((e) => [e.getAttribute('aria-label'), e.scrollLeft, e.scrollTop]);
    for (const open of live.querySelectorAll('details[open][id]')) {
      const same = next.querySelector('#' + CSS.escape(open.id));
      if (same) same.open = true;
    }
    live.replaceChildren(...next.childNodes);
    for (const [label, left, top] of places) {
      const same = live.querySelector('.scroll[aria-label="' + CSS.escape(label) + '"]');
      if (same) { same.scrollLeft = left; same.scrollTop = top; }
    }
    button();
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };

  button();
  setInterval(refresh, every);
})();
