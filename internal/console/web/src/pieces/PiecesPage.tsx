import { Page } from "./Page";
import { ShowCharts } from "./show/ShowCharts";
import { ShowSmall } from "./show/ShowSmall";
import { ShowTables } from "./show/ShowTables";
import { ShowTexts } from "./show/ShowTexts";

/** PiecesPage shows each piece of the console in its states, with values made up on the spot. */
export function PiecesPage() {
  return (
    <Page title="Pieces" fact="Every piece of the console, in every state, with samples that were made up." width="data">
      <ShowSmall />
      <ShowCharts />
      <ShowTexts />
      <ShowTables />
    </Page>
  );
}
