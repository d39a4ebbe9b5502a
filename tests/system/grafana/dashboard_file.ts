// What Grafana's own published types allow in a dashboard file whose panels draw Prometheus' series.
import type { DataQuery, DataSourceRef, Dashboard, GraphFieldConfig, GridPos, Panel } from "@grafana/schema";
import type { Options } from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// A file holds the values of an enumeration, not its names.
type InFile<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: InFile<T[K]> } : T;

// The query's type left this package with Grafana 11; its fields are those of the Prometheus data source.
interface Query extends Omit<DataQuery, "key" | "queryType"> {
  datasource: DataSourceRef;
  expr: string;
  legendFormat: string;
  instant?: boolean;
  interval?: string;
}

interface Graph extends Omit<Panel<Options, GraphFieldConfig>, "options" | "targets" | "type"> {
  id: number;
  type: "timeseries";
  datasource: DataSourceRef;
  gridPos: GridPos;
  options: Options;
  targets: Query[];
}

export type DashboardFile = InFile<Omit<Dashboard, "panels">> & { panels: InFile<Graph>[] };
