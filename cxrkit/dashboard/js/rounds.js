// The rounds of a film: it and its ten altered pictures, what each answers, and what they come to.

function roundsPart({ model, say }) {
  const part = h("section", { class: "card rounds" });

  function draw() {
    const film = model.get("shown");
    const rounds = model.get("rounds");
    part.hidden = film.covid === undefined;
    if (part.hidden) return;
    const heading = [h("h2", {}, say("rounds_strip.title")), h("p", { class: "small" }, say("rounds_strip.means"))];
    if (rounds.key !== film.key) {
      fill(part, ...heading, h("p", {}, say("rounds_strip.waiting")));
      return;
    }
    const fields = {
      prob: number(rounds.prob),
      threshold: number(film.covid.threshold),
      votes: rounds.each.filter((one) => one.positive).length,
      count: rounds.each.length,
    };
    fill(part, 
      ...heading,
      h("p", { class: "said" }, say(rounds.positive ? "rounds_strip.called" : "rounds_strip.not_called", fields)),
      rounds.positive !== film.covid.positive && h("p", { class: "doubt" }, say("rounds_strip.differs")),
      h(
        "ol",
        {},
        rounds.each.map((one) => {
          const state = say(one.positive ? "film.called" : "film.not_called");
          const name = one.name === "none" ? say("rounds_strip.untouched") : one.name;
          return h(
            "li",
            { class: one.positive ? "positive" : "" },
            picture(one.picture, "image/jpeg", { alt: say("rounds_strip.alt", { name, prob: number(one.prob), state }), width: 112, height: 112 }),
            h("strong", {}, name),
            h("span", { class: "prob" }, `${number(one.prob)} `, h("span", {}, state)),
            one.name !== "none" && h("span", { class: "small recipe", lang: "en" }, breaking(one.recipe)),
          );
        }),
      ),
    );
  }

  /** With places to break, since a recipe's name is longer than its picture is wide. */
  const breaking = (recipe) => recipe.split(/(?<=[(>,])/).flatMap((piece) => [piece, h("wbr")]);

  return { part, draw };
}
