// Select2 draws a picker beside the field that it stands for and does not carry the field's name over to it.
function name(picker) {
  const field = picker.previousElementSibling;
  const text = field?.getAttribute("aria-label") ?? field?.labels?.[0]?.textContent.trim();
  if (text) picker.querySelector(".select2-selection__rendered")?.setAttribute("aria-label", text);
}

new MutationObserver(changes => {
  for (const node of changes.flatMap(change => [...change.addedNodes])) {
    if (node instanceof Element && node.matches(".select2")) name(node);
  }
}).observe(document.documentElement, {childList: true, subtree: true});
