// Who somebody is.
import { $, ask, words } from "./base.js";

const form = $("#login");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name, password } = Object.fromEntries(new FormData(form));
  $("#refused").textContent = "";
  try {
    await ask("/v1/login", { method: "POST", body: { name, password } });
    const next = new URLSearchParams(location.search).get("next") ?? "/";
    // Pages of ours alone.
    location.assign(/^\/[a-z]*$/.test(next) ? next : "/");
  } catch (error) {
    $("#refused").textContent = error.status === 401 ? words("wrong_login") : error.message;
    form.elements.password.select();
  }
});
