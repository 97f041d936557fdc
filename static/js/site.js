// What needs a script on our pages: theme choice, copy buttons, closing menus, and resting the live tables.
(() => {
  const root = document.documentElement;

  const showTheme = () => {
    for (const button of document.querySelectorAll("[data-set-theme]")) {
      button.setAttribute("aria-pressed", String(button.dataset.setTheme === (root.dataset.theme || "auto")));
    }
  };

  const setTheme = (theme) => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    try {
      if (theme === "auto") localStorage.removeItem("theme");
      else localStorage.setItem("theme", theme);
    } catch {
      // Storage is off: the choice lasts as long as the page.
    }
    showTheme();
  };

  const copy = async (button) => {
    const source = document.getElementById(button.dataset.copy);
    const label = button.querySelector("[data-copy-label]");
    const before = label.textContent;
    try {
      await navigator.clipboard.writeText((source.value ?? source.textContent).trim());
      label.textContent = button.dataset.copied;
    } catch {
      // No clipboard outside https and localhost: select the text instead, so that one keystroke copies it.
      if (source.select) source.select();
      else getSelection().selectAllChildren(source);
      return;
    }
    setTimeout(() => { label.textContent = before; }, 2000);
  };

  document.addEventListener("click", (event) => {
    const theme = event.target.closest("[data-set-theme]");
    if (theme) setTheme(theme.dataset.setTheme);
    const copier = event.target.closest("[data-copy]");
    if (copier) copy(copier);
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit-on-change]")) event.target.form.requestSubmit();
  });

  // A page that nobody looks at asks for nothing; it catches up at the next tick after it is shown again.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.target.closest("[data-live]")) event.preventDefault();
  });

  // The row of pages on a narrow screen begins where one is.
  const here = document.querySelector(".sidebar-nav [aria-current]");
  if (here) {
    const nav = here.closest(".sidebar-nav");
    const [row, link] = [nav.getBoundingClientRect(), here.getBoundingClientRect()];
    nav.scrollLeft += link.left + link.width / 2 - (row.left + row.width / 2);
  }

  showTheme();
})();
